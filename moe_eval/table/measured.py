"""Rows of our own numbers, from run folders: one per model, with the numbers of all its tasks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError
from moe_eval.recorded import RecordedNumber, read_recorded
from moe_eval.records import RunRecord, ScoresRecord, read_record
from moe_eval.table.published import OFFICIAL
from moe_eval.table.rows import Layout, Row

__all__ = ["MeasuredRow", "find_runs", "measured_rows"]

MeasuredRow = tuple[Row, str | None]
"""A row, and the name of the same model in the published numbers."""

HEADLINE = ("headline", "value")

PENDING = (
    "pending: a server (`moe-eval submit`, then `moe-eval record`) or a judge (`moe-eval judge`) has to give the number"
)


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
    """A row per model that has a number in this layout, or one pending.

    Runs of one model on several tasks are one row; a second run on the same task begins another.
    """
    rows: dict[tuple[Any, ...], list[MeasuredRow]] = {}
    for folder in folders:
        run = read_record(RunRecord, folder / "run.json")
        scores = read_record(ScoresRecord, folder / "scores.json")
        cells = _cells(run, scores, read_recorded(folder), layout)
        if not cells.values and not cells.pending:
            continue
        row = _row(run, scores, cells, layout)
        model = run.model
        of_model = rows.setdefault((model.name, model.weights_fingerprint, model.router_noise_seed, row.remark), [])
        for index, (earlier, published_as) in enumerate(of_model):
            if not row.columns & earlier.columns:
                of_model[index] = (_merge(earlier, row), published_as)
                break
        else:
            of_model.append((row, model.published_as))
    return [row for of_model in rows.values() for row in of_model]


@dataclass
class _Cells:
    """What a run has for the columns of a layout, by their names."""

    values: dict[str, float] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    notes: dict[str, str] = field(default_factory=dict)


def _cells(run: RunRecord, scores: ScoresRecord, recorded: RecordedNumber | None, layout: Layout) -> _Cells:
    cells = _Cells()
    for column in layout.columns:
        task, path = column.measured
        if task != run.task:
            continue
        value = _look_up(scores, path)
        if value is None and path == HEADLINE:
            if recorded is None:
                cells.pending.add(column.name)
                cells.notes[column.name] = PENDING
                continue
            value = recorded.value
            cells.notes[column.name] = (
                f"{run.model.name}, {column.name}: the server's number, not computed here ({recorded.source}, "
                f"recorded {recorded.recorded[:10]})"
            )
        elif scores.judge:
            cells.notes[column.name] = f"{run.model.name}, {column.name}: graded by {scores.judge}"
        if value is not None:
            cells.values[column.name] = value
    return cells


def _row(run: RunRecord, scores: ScoresRecord, cells: _Cells, layout: Layout) -> Row:
    data, parameters = run.data, run.model.parameters
    of = f"{run.task}: " if len({column.measured[0] for column in layout.columns}) > 1 else ""
    notes = [f"{of}{_made(run)}: {data.source}, {data.version}; protocol {run.protocol}"]
    if not data.official:
        notes.append(f"{of}not the data that published numbers are about: do not compare with them")
    if scores.missing:
        notes.append(f"{of}{run.model.name}: {len(scores.missing)} questions without an answer are left out")
    if run.model.random_weights:
        notes.append("random weights, never trained: the numbers only show that the machinery works")
    if run.model.router_noise_seed is not None:
        notes.append(f"{run.model.name}: second experts drawn with noise, seed {run.model.router_noise_seed}")
    asked = OFFICIAL if data.official and not scores.missing else data.fingerprint
    return Row(
        model=run.model.name,
        llm=run.model.llm,
        params_total=parameters.llm_total if parameters else None,
        params_activated=parameters.llm_activated if parameters else None,
        image_size=run.model.image_size,
        values=cells.values,
        origin="measured",
        data=dict.fromkeys(cells.values, asked),
        remark="random weights" if run.model.random_weights else "imported answers" if run.origin else "",
        notes=tuple(notes),
        value_notes=cells.notes,
        pending=frozenset(cells.pending),
    )


def _merge(row: Row, more: Row) -> Row:
    """One row of the numbers of both."""
    return replace(
        row,
        values={**row.values, **more.values},
        data={**row.data, **more.data},
        notes=tuple(dict.fromkeys([*row.notes, *more.notes])),
        value_notes={**(row.value_notes or {}), **(more.value_notes or {})},
        pending=row.pending | more.pending,
    )


def _made(run: RunRecord) -> str:
    """Who made the answers."""
    if run.origin is None:
        return "measured here"
    first, *others = run.origin.files
    files = Path(first.path).name + (f" and {len(others)} more" if others else "")
    return f"{run.model.name}: answers imported ({run.origin.format}, {files}), scored here"


def _look_up(scores: ScoresRecord, path: tuple[str, ...]) -> float | None:
    value: Any = scores.model_dump(include={path[0]})
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return None if value is None else float(value)
