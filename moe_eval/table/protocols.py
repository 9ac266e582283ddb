"""The layout `protocols`: the same answers under every way of scoring; how much of a difference is the scorer's."""

from collections.abc import Sequence
from pathlib import Path

from moe_eval.runs.records import RunRecord, ScoresRecord, read_record
from moe_eval.scoring.rescore import rescore
from moe_eval.table.comparison import half_width
from moe_eval.table.grid import Block, Cell, Grid, Heading
from moe_eval.table.measured import HEADLINE, interval_of

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
    for run, (note, of_run) in zip(runs, scores, strict=True):
        known = [record.headline.value for record in of_run.values() if record.headline.value is not None]
        spread = max(known) - min(known) if len(known) > 1 else None
        rows.append(
            (
                Cell(run.model.name, notes=(note,)),
                Cell(run.task),
                Cell(f"{run.data.samples:,}", run.data.samples),
                Cell(run.protocol),
                *(_cell(run, name, of_run, intervals) for name in names),
                Cell("" if spread is None else f"{spread:.{DECIMALS}f}", spread),
            )
        )
    remarks = [
        "Headline numbers of the same answers. Each protocol also asks in its own way, which this does not show."
    ]
    return Grid("One set of answers, every scorer", tuple(headings), (Block(tuple(rows)),), tuple(remarks))


def _all_scores(folder: Path, intervals: bool) -> tuple[str, dict[str, ScoresRecord]]:
    """A note, and scores by protocol; those of the run itself as it recorded them."""
    own = read_record(ScoresRecord, folder / "scores.json")
    found = rescore(folder, intervals)
    note = f"only the run's own scores: {found.why_not}" if found.why_not else ""
    return note, {**found.scores, own.protocol: own}


def _cell(run: RunRecord, protocol: str, of_run: dict[str, ScoresRecord], intervals: bool) -> Cell:
    if protocol not in of_run:
        return Cell()
    headline, own = of_run[protocol].headline, of_run[run.protocol].headline
    notes = (f"{run.task}, {protocol}: {headline.name}",) if headline.name != own.name else ()
    if headline.value is None:
        return Cell("pending", notes=notes)
    interval = interval_of(of_run[protocol], HEADLINE)
    text = f"{headline.value:.{DECIMALS}f}" + (f" ±{half_width(interval)}" if interval and intervals else "")
    return Cell(text, headline.value, interval, notes)
