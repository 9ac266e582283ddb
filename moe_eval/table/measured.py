"""Rows of our own numbers, from run folders: one per model, with the numbers of all its tasks."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError
from moe_eval.registry import find_task, measures_answers, task_title
from moe_eval.runs.recorded import RecordedNumber, read_recorded
from moe_eval.runs.records import RunRecord, ScoresRecord, read_record
from moe_eval.scoring.headlines import headline_maximum, headline_name
from moe_eval.table.grid import Interval
from moe_eval.table.rows import OFFICIAL, Layout, Row

__all__ = ["MeasuredRow", "comparability", "find_runs", "interval_of", "look_up", "measured_rows"]

MeasuredRow = tuple[Row, str | None]
"""A row, and the name of the same model in the published numbers."""

HEADLINE = ("headline", "value")

PAPERS_PROTOCOL = "llava"
"""How the numbers of the papers are asked for and scored."""

PENDING = (
    "pending: a server (`moe-eval submit`, then `moe-eval record`) or a judge (`moe-eval judge`) has to give the number"
)


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Run folders with scores in or below the given folders; of several, those that cannot be read are named on stderr.

    Raises:
        UserError: when a folder holds none, or none that can be read.
    """
    found: list[Path] = []
    for path in paths:
        runs = sorted(scores.parent for scores in path.glob("**/scores.json"))
        if not runs:
            raise UserError(f"{path}: no finished run in it (no scores.json); start one with `moe-eval run`")
        found += runs
    unreadable = {folder: error for folder in dict.fromkeys(found) if (error := _fault(folder))}
    if unreadable and len(unreadable) == len(set(found)):
        raise next(iter(unreadable.values()))
    for error in unreadable.values():
        print(f"left out: {error}", file=sys.stderr)
    return [folder for folder in dict.fromkeys(found) if folder not in unreadable]


def _fault(folder: Path) -> UserError | None:
    try:
        read_record(RunRecord, folder / "run.json")
        read_record(ScoresRecord, folder / "scores.json")
    except UserError as error:
        return error
    return None


def measured_rows(folders: Iterable[Path], layout: Layout) -> list[MeasuredRow]:
    """A row per model that has a number in this layout, or one pending.

    Runs of one model on several tasks are one row; a second run on the same task begins another.
    """
    rows: dict[tuple[object, ...], list[MeasuredRow]] = {}
    for folder in folders:
        run = read_record(RunRecord, folder / "run.json")
        scores = read_record(ScoresRecord, folder / "scores.json")
        cells = _cells(run, scores, read_recorded(folder), layout)
        if not cells.values and not cells.pending:
            continue
        row = _row(run, scores, cells, layout)
        model = run.model
        kind = (model.name, model.weights_fingerprint, model.router_noise_seed, row.remark, row.official)
        of_model = rows.setdefault(kind, [])
        for index, (earlier, published_as) in enumerate(of_model):
            if not row.columns & earlier.columns:
                of_model[index] = (_merge(earlier, row), published_as)
                break
        else:
            of_model.append((row, model.published_as))
    several = len({column.measured[0] for column in layout.columns}) > 1
    return [
        (replace(row, notes=(*_answered(row.answered, several), *row.notes)), published_as)
        for of_model in rows.values()
        for row, published_as in of_model
    ]


def _answered(answered: Mapping[str, tuple[str, str]], several: bool) -> list[str]:
    """One note for all tasks that were answered in the same circumstances."""
    notes: dict[str, list[str]] = {}
    for task, (circumstances, data) in answered.items():
        notes.setdefault(circumstances, []).append(f"{task} {data}" if several else data)
    return [f"{circumstances}: {'; '.join(data)}" for circumstances, data in notes.items()]


@dataclass
class _Cells:
    """What a run has for the columns of a layout, by their names."""

    values: dict[str, float] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    notes: dict[str, str] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    measures: dict[str, str] = field(default_factory=dict)
    maxima: dict[str, float] = field(default_factory=dict)


def _cells(run: RunRecord, scores: ScoresRecord, recorded: RecordedNumber | None, layout: Layout) -> _Cells:
    cells = _Cells()
    for column in layout.columns:
        task, path = column.measured
        if task != run.task:
            continue
        value = look_up(scores, path)
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
        elif (interval := interval_of(scores, path)) is not None:
            cells.intervals[column.name] = interval
        if scores.judge:
            cells.notes[column.name] = f"{run.model.name}, {column.name}: graded by {scores.judge}"
        if value is not None:
            cells.values[column.name] = value
            if path == HEADLINE:
                cells.measures[column.name] = headline_name(scores)
                if maximum := headline_maximum(scores):
                    cells.maxima[column.name] = maximum
    return cells


def _row(run: RunRecord, scores: ScoresRecord, cells: _Cells, layout: Layout) -> Row:
    data, parameters = run.data, run.model.parameters
    of = f"{task_title(run.task)}: " if len({column.measured[0] for column in layout.columns}) > 1 else ""
    circumstances = f"{_made(run)}, protocol {run.protocol}"
    if not data.official:
        circumstances += ", not the data that published numbers are about (do not compare with them)"
    notes = []
    why_not, asked = comparability(run, scores)
    if scores.missing:
        notes.append(f"{of}{run.model.name}: {len(scores.missing)} questions without an answer are left out")
    if scores.empty:
        notes.append(f"{of}{run.model.name}: {scores.empty:,} answers are empty")
    if run.model.random_weights:
        notes.append("random weights, never trained: the numbers only show that the machinery works")
    if run.model.router_noise_seed is not None:
        notes.append(f"{run.model.name}: second experts drawn with noise, seed {run.model.router_noise_seed}")
    if data.official and not scores.missing and why_not:
        notes.append(f"{of}{run.model.name}: {why_not}: do not compare with published numbers")
    return Row(
        model=run.model.name,
        llm=run.model.llm,
        params_total=parameters.llm_total if parameters else None,
        params_activated=parameters.llm_activated if parameters else None,
        image_size=run.model.image_size,
        values=cells.values,
        origin="measured",
        data=dict.fromkeys(cells.values, asked),
        remark=_remark(run),
        notes=tuple(notes),
        answered={task_title(run.task): (circumstances, f"{data.source}, {data.version}")},
        value_notes=cells.notes,
        pending=frozenset(cells.pending),
        intervals=cells.intervals,
        measures=cells.measures,
        maxima=cells.maxima,
    )


def _remark(run: RunRecord) -> str:
    remarks = ["random weights"] if run.model.random_weights else ["imported answers"] if run.origin else []
    if run.ablation:
        remarks.append(run.ablation)
    if run.data.stopping:
        remarks.append(run.data.stopping.rule)
    if run.generation and run.generation.drawn:
        remarks.append(run.generation.drawn)
    if run.generation:
        remarks += run.generation.asked_otherwise
    if measures_answers(run.task, run.protocol):  # not in one row with answers that were generated
        remarks.append(run.protocol)
    return ", ".join(remarks)


def comparability(run: RunRecord, scores: ScoresRecord) -> tuple[str, str]:
    """Why a run's numbers cannot stand beside published ones ("" if they can), and what they can be compared by.

    Numbers are comparable when the second is equal: `OFFICIAL`, or the questions, protocol, judge, ablation and drawing.
    """
    judge = (scores.judge or "").split(",")[0]
    reasons = []
    if not run.data.official:
        reasons.append("other questions")
    if scores.missing:
        reasons.append(f"{len(scores.missing):,} questions without an answer")
    if scores.protocol != PAPERS_PROTOCOL:
        reasons.append(f"protocol {scores.protocol}")
    if judge and judge != _papers_judge(run.task):
        reasons.append(f"graded by {judge}")
    if run.ablation:
        reasons.append(f"ablation {run.ablation}")
    drawn = run.generation.drawn if run.generation else None
    if drawn:
        reasons.append(drawn)
    if not reasons:
        return "", OFFICIAL
    missing = "|".join(scores.missing)
    return "; ".join(reasons), " ".join(
        [run.data.fingerprint, missing, scores.protocol, judge, str(run.ablation or ""), drawn or ""]
    )


def _papers_judge(task: str) -> str | None:
    protocol = find_task(task).protocols.get(PAPERS_PROTOCOL)
    return protocol.judge.model if protocol and protocol.judge else None


def interval_of(scores: ScoresRecord, path: tuple[str, ...]) -> Interval | None:
    """The 95 % interval of the number at a path such as ("metrics", "categories", "random", "f1"), where there is one."""
    name = "headline" if path == HEADLINE else ".".join(path[1:])
    found = scores.intervals.get(name)
    return (found.low, found.high) if found else None


def _merge(row: Row, more: Row) -> Row:
    """One row of the numbers of both."""
    return replace(
        row,
        values={**row.values, **more.values},
        data={**row.data, **more.data},
        notes=tuple(dict.fromkeys([*row.notes, *more.notes])),
        answered={**row.answered, **more.answered},
        value_notes={**(row.value_notes or {}), **(more.value_notes or {})},
        pending=row.pending | more.pending,
        intervals={**row.intervals, **more.intervals},
        measures={**row.measures, **more.measures},
        maxima={**row.maxima, **more.maxima},
    )


def _made(run: RunRecord) -> str:
    """Who made the answers."""
    if run.origin is None:
        return "measured here"
    first, *others = run.origin.files
    files = Path(first.path).name + (f" and {len(others)} more" if others else "")
    return f"{run.model.name}: answers imported ({run.origin.format}, {files}), scored here"


def look_up(scores: ScoresRecord, path: tuple[str, ...]) -> float | None:
    """The number at a path, where there is one."""
    value: Any = scores.model_dump(include={path[0]})
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return None if value is None else float(value)
