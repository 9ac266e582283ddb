"""The layout `reproduction`: published | measured | difference | reproduced, and why."""

from collections.abc import Sequence
from pathlib import Path

from moe_eval.runs.recorded import read_recorded
from moe_eval.runs.records import RunRecord, ScoresRecord, read_record
from moe_eval.table.claims import DEFINITION, Claim, Verdict, claims_about, judge_claim
from moe_eval.table.grid import Block, Cell, Grid, Heading
from moe_eval.table.layouts import MAIN
from moe_eval.table.published import PublishedNumber

__all__ = ["Judged", "reproduction_table", "reproduction_table_of"]

Judged = tuple[str, Claim, Verdict]
"""The name of a model, what was published about it, and what its run says."""

HEADINGS = (
    Heading("Model", name="model"),
    Heading("Number", name="number"),
    Heading("Published", name="published", numeric=True),
    Heading("Measured", name="measured", numeric=True),
    Heading("95 % interval", name="interval", numeric=True),
    Heading("Difference", name="difference", numeric=True),
    Heading("Reproduced", name="reproduced"),
    Heading("Why", name="why"),
    Heading("Source", name="source"),
)

DECIMALS = 2


def reproduction_table(
    folders: Sequence[Path], numbers: Sequence[PublishedNumber], not_run: Sequence[str], intervals: bool = True
) -> Grid:
    """What the runs say about published numbers.

    Args:
        folders: run folders.
        numbers: published ones, in the order of preference.
        not_run: models, by their names in the published numbers, whose headline numbers are listed without a run.
        intervals: show them.
    """
    judged, run_keys = [], set()
    for folder in folders:
        run = read_record(RunRecord, folder / "run.json")
        scores = read_record(ScoresRecord, folder / "scores.json")
        recorded = read_recorded(folder)
        for claim in claims_about(run.model.published_as, numbers, run.task):
            judged.append((run.model.name, claim, judge_claim(claim, run, scores, recorded)))
            run_keys.add((claim.number.model, claim.number.key))
    main = {column.published for column in MAIN.columns}
    nobody = Verdict("not run", "")
    missing = [
        (model, claim, nobody)
        for model in not_run
        for claim in claims_about(model, numbers)
        if claim.number.key in main and (model, claim.number.key) not in run_keys
    ]
    comparable = [verdict.outcome for _, _, verdict in judged if verdict.outcome in ("yes", "no")]
    remarks = [DEFINITION]
    if comparable:
        remarks.append(f"Reproduced: {comparable.count('yes')} of {len(comparable)} numbers that can be compared.")
    return reproduction_table_of(judged, remarks, missing, intervals)


def reproduction_table_of(
    judged: Sequence[Judged], remarks: Sequence[str], missing: Sequence[Judged] = (), intervals: bool = True
) -> Grid:
    """A row per claim; those without a run in a block of their own."""
    blocks = [
        Block(tuple(_row(*entry, intervals) for entry in entries), title)
        for entries, title in ((judged, "run"), (missing, "not run"))
    ]
    return Grid(
        title="Published and measured",
        headings=HEADINGS if intervals else tuple(heading for heading in HEADINGS if heading.name != "interval"),
        blocks=tuple(block for block in blocks if block.rows),
        remarks=tuple(remarks),
    )


def _row(model: str, claim: Claim, verdict: Verdict, intervals: bool) -> tuple[Cell, ...]:
    number, difference = claim.number, verdict.difference(claim)
    interval = verdict.interval
    return (
        Cell(model),
        Cell(claim.name),
        Cell(_as_printed(number.value), number.value, notes=(number.note or "",)),
        Cell("" if verdict.value is None else f"{verdict.value:.{DECIMALS}f}", verdict.value, interval),
        *([Cell(f"{interval[0]:.{DECIMALS}f} to {interval[1]:.{DECIMALS}f}" if interval else "")] if intervals else []),
        Cell("" if difference is None else f"{difference:+.{DECIMALS}f}", difference),
        Cell(verdict.outcome),
        Cell(verdict.reason),
        Cell(claim.sources),
    )


def _as_printed(value: float) -> str:
    """With the decimals that were published, two at most."""
    return min(str(value), f"{value:.2f}", key=len)
