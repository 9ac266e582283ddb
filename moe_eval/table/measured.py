"""Rows of our own numbers, from run folders."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError
from moe_eval.records import RunRecord, ScoresRecord, read_record
from moe_eval.table.published import OFFICIAL
from moe_eval.table.rows import Layout, Row

__all__ = ["MeasuredRow", "find_runs", "measured_rows"]

MeasuredRow = tuple[Row, str | None]
"""A row, and the name of the same model in the published numbers."""


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Run folders with scores in or below the given folders.

    Raises:
        UserError: when a folder holds none.
    """
    found: list[Path] = []
    for path in paths:
        runs = sorted(scores.parent for scores in path.glob("**/scores.json"))
        if not runs:
            raise UserError(f"{path}: no finished run in it (no scores.json); start one with `moe-eval run`")
        found += runs
    return list(dict.fromkeys(found))


def measured_rows(folders: Iterable[Path], layout: Layout) -> list[MeasuredRow]:
    """One row per run that has a number in this layout."""
    rows = []
    for folder in folders:
        run = read_record(RunRecord, folder / "run.json")
        scores = read_record(ScoresRecord, folder / "scores.json")
        values = {
            column.name: value
            for column in layout.columns
            if column.measured[0] == run.task and (value := _look_up(scores, column.measured[1])) is not None
        }
        if values:
            rows.append((_row(run, scores, values), run.model.published_as))
    return rows


def _row(run: RunRecord, scores: ScoresRecord, values: Mapping[str, float]) -> Row:
    data, parameters = run.data, run.model.parameters
    notes = [f"{_made(run)}: {data.source}, {data.version}; protocol {run.protocol}"]
    if not data.official:
        notes.append("not the data that published numbers are about: do not compare with them")
    if scores.missing:
        notes.append(f"{run.model.name}: {len(scores.missing)} questions with unreadable pictures are left out")
    if run.model.random_weights:
        notes.append("random weights, never trained: the numbers only show that the machinery works")
    if run.model.router_noise_seed is not None:
        notes.append(f"{run.model.name}: second experts drawn with noise, seed {run.model.router_noise_seed}")
    return Row(
        model=run.model.name,
        llm=run.model.llm,
        params_total=parameters.llm_total if parameters else None,
        params_activated=parameters.llm_activated if parameters else None,
        image_size=run.model.image_size,
        values=values,
        origin="measured",
        data=OFFICIAL if data.official and not scores.missing else data.fingerprint,
        remark="random weights" if run.model.random_weights else "imported answers" if run.origin else "",
        notes=tuple(notes),
    )


def _made(run: RunRecord) -> str:
    """Who made the answers."""
    if run.origin is None:
        return "measured here"
    first, *others = run.origin.files
    files = Path(first.path).name + (f" and {len(others)} more" if others else "")
    return f"{run.model.name}: answers imported ({run.origin.format}, {files}), scored here"


def _look_up(scores: ScoresRecord, path: tuple[str, ...]) -> float | None:
    value: Any = scores.model_dump()
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return None if value is None else float(value)
