"""The layout `protocols`: the same answers under every way of scoring; how much of a difference is the scorer's."""

from collections.abc import Sequence
from pathlib import Path

from moe_eval.registry import task_title
from moe_eval.runs.records import RunRecord, ScoresRecord, read_record
from moe_eval.scoring.headlines import explain_headlines
from moe_eval.scoring.option_texts import NO_OPTION_TEXTS, count_untold
from moe_eval.scoring.rescore import rescore
from moe_eval.table.comparison import half_width
from moe_eval.table.grid import Block, Cell, Grid, Heading
from moe_eval.table.measured import HEADLINE, interval_of
from moe_eval.task import worth

__all__ = ["protocols_table"]

DECIMALS = 2


def protocols_table(folders: Sequence[Path], intervals: bool = True) -> Grid:
    """A row per run, a column per protocol, computed from the stored answers.

    Where the questions are not on this machine, only the run's own number is known, and a note says so.
    """
    runs = [read_record(RunRecord, folder / "run.json") for folder in folders]
    scores = [_all_scores(folder, intervals) for folder in folders]
    names = list(dict.fromkeys(name for _, of_run in scores for name in of_run))
    headings = [
        Heading("Model", name="model"),
        Heading("Task", name="task"),
        Heading("Questions", name="questions", numeric=True),
        Heading("Asked as by", name="asked"),
    ]
    headings += [Heading(name, "Scored as by", name=name, numeric=True) for name in names]
    headings.append(Heading("Spread", name="spread", numeric=True))
    rows = []
    for run, (notes, of_run) in zip(runs, scores, strict=True):
        known = [record.headline.value for record in of_run.values() if record.headline.value is not None]
        spread = max(known) - min(known) if len(known) > 1 else None
        rows.append(
            (
                Cell(run.model.name, notes=notes),
                Cell(task_title(run.task)),
                Cell(f"{run.data.samples:,}", run.data.samples),
                Cell(run.protocol),
                *(_cell(run, name, of_run, intervals) for name in names),
                Cell("" if spread is None else f"{spread:.{DECIMALS}f}", spread),
            )
        )
    remarks = [
        "Headline numbers of the same answers. Each protocol also asks in its own way, which this does not show."
    ]
    of_task: dict[str, list[str]] = {}
    for run, (_, of_run) in zip(runs, scores, strict=True):
        of_task.setdefault(run.task, []).extend(record.headline.name for record in of_run.values())
    remarks += [line for task, called in of_task.items() for line in explain_headlines(task, called)]
    return Grid("One set of answers, every scorer", tuple(headings), (Block(tuple(rows)),), tuple(remarks))


def _all_scores(folder: Path, intervals: bool) -> tuple[tuple[str, ...], dict[str, ScoresRecord]]:
    """Notes, and scores by protocol; those of the run itself as it recorded them."""
    own = read_record(ScoresRecord, folder / "scores.json")
    found = rescore(folder, intervals)
    notes = [f"only the run's own scores: {found.why_not}"] if found.why_not else []
    samples = found.dataset.samples if found.dataset else ()
    scores = {own.protocol: own}
    for name, record in found.scores.items():
        if untold := count_untold(samples, _worths(own), _worths(record)):
            notes.append(
                f"{task_title(own.task)}: not scored as by {name}, for {NO_OPTION_TEXTS}, and {untold:,} answers are words"
            )
        elif name != own.protocol:
            scores[name] = record
    order = list(found.scores) or [own.protocol]
    return tuple(notes), {name: scores[name] for name in order if name in scores}


def _worths(scores: ScoresRecord) -> dict[str, float | None]:
    return {str(entry["id"]): worth(entry) for entry in scores.samples}


def _cell(run: RunRecord, protocol: str, of_run: dict[str, ScoresRecord], intervals: bool) -> Cell:
    if protocol not in of_run:
        return Cell()
    headline, own = of_run[protocol].headline, of_run[run.protocol].headline
    notes = (f"{task_title(run.task)}, {protocol}: {headline.name}",) if headline.name != own.name else ()
    if headline.value is None:
        return Cell("pending", notes=notes)
    interval = interval_of(of_run[protocol], HEADLINE)
    text = f"{headline.value:.{DECIMALS}f}" + (f" ±{half_width(interval)}" if interval and intervals else "")
    return Cell(text, headline.value, interval, notes)
