"""Every kind of table by its name: what `moe-eval table --layout NAME` shows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from moe_eval.errors import UserError, unknown
from moe_eval.runs.records import RunRecord, read_record
from moe_eval.table.comparison import compare_rows
from moe_eval.table.grid import Grid
from moe_eval.table.layouts import MAIN, POPE, headlines
from moe_eval.table.measured import measured_rows
from moe_eval.table.published import PublishedNumber, published_rows
from moe_eval.table.rows import Layout, Row

__all__ = ["TABLES", "Published", "Wanted", "build_rows", "build_table"]

Published = Literal["all", "paper", "own", "none"]
"""Which published rows to show: all, those of the MoE-LLaVA paper's tables, those of the measured models, or none."""

PAPER = "MoE-LLaVA paper"
"""How the source of a number in the MoE-LLaVA paper's tables begins."""


@dataclass(frozen=True)
class Wanted:
    """What a table is made of.

    Args:
        runs: run folders.
        numbers: published ones, in the order of preference.
        published: which rows of them to show.
        intervals: whether measured numbers carry their 95 % interval.
    """

    runs: Sequence[Path]
    numbers: Sequence[PublishedNumber]
    published: Published = "all"
    intervals: bool = True


def build_table(name: str, wanted: Wanted) -> Grid:
    """The table of that name.

    Raises:
        UserError: naming the ones that exist; for a table without rows; when a run's files cannot be read.
    """
    if name not in TABLES:
        raise unknown("layout", name, TABLES)
    grid = TABLES[name](wanted)
    if not grid.rows:
        raise UserError(f"layout {name} has no rows: give RUN folders that have numbers for it, or --published all")
    return grid if grid.name else replace(grid, name=name)


def build_rows(
    runs: Iterable[Path], numbers: Sequence[PublishedNumber], layout: Layout, published: Published = "all"
) -> list[Row]:
    """Measured rows, each with the published row of the same model next to it, then the other published ones."""
    of_paper = {number.model for number in numbers if number.source.startswith(PAPER)}
    others = {
        row.model: row
        for row in published_rows(numbers, layout)
        if published != "none" and (published != "paper" or row.model in of_paper)
    }
    rows: list[Row] = []
    for row, published_as in measured_rows(runs, layout):
        rows.append(row)
        if published_as in others:
            rows.append(others.pop(published_as))
    return rows if published == "own" else [*rows, *others.values()]


def _comparison(layout: Layout) -> Callable[[Wanted], Grid]:
    def build(wanted: Wanted) -> Grid:
        rows = build_rows(wanted.runs, wanted.numbers, layout, wanted.published)
        return compare_rows(rows, layout, wanted.intervals)

    return build


def _headlines(wanted: Wanted) -> Grid:
    tasks = {read_record(RunRecord, folder / "run.json").task for folder in wanted.runs}
    return _comparison(headlines(tasks))(wanted)


def _reproduction(wanted: Wanted) -> Grid:
    from moe_eval.table.reproduction import reproduction_table

    not_run = _zoo_models(wanted) if wanted.published in ("all", "paper") else []
    return reproduction_table(wanted.runs, wanted.numbers, not_run, wanted.intervals)


def _protocols(wanted: Wanted) -> Grid:
    from moe_eval.table.protocols import protocols_table

    return protocols_table(wanted.runs, wanted.intervals)


def _ablation(wanted: Wanted) -> Grid:
    from moe_eval.table.ablation import ablation_table

    return ablation_table(wanted.runs, wanted.intervals)


def _parameters(wanted: Wanted) -> Grid:
    from moe_eval.table.parameters import parameters_table
    from moellava import zoo

    known = [entry.name for entry in map(zoo.find, zoo.names()) if not entry.in_transformers]  # counted without network
    models = known if wanted.published in ("all", "paper") else []
    return parameters_table(wanted.runs, models, wanted.numbers)


def _zoo_models(wanted: Wanted) -> list[str]:
    """Models that `moe-eval run` knows and somebody has published numbers of, by their published names."""
    from moellava import zoo

    names = dict.fromkeys(name for entry in map(zoo.find, zoo.names()) if (name := entry.published_as))
    of_paper = {number.model for number in wanted.numbers if number.source.startswith(PAPER)}
    return [name for name in names if wanted.published != "paper" or name in of_paper]


TABLES: dict[str, Callable[[Wanted], Grid]] = {
    "main": _comparison(MAIN),
    "pope": _comparison(POPE),
    "headlines": _headlines,
    "reproduction": _reproduction,
    "protocols": _protocols,
    "ablation": _ablation,
    "params": _parameters,
}
