"""From rows of models to a grid: how the main and the POPE table look."""

from collections.abc import Sequence

from moe_eval.table.grid import Block, Cell, Grid, Heading, Rank
from moe_eval.table.rows import DECIMALS, Column, Layout, Row, rank_rows

__all__ = ["UNITS", "compare_rows", "format_parameters", "half_width"]

FACTS = (
    Heading("Model", name="model"),
    Heading("LLM", name="llm"),
    Heading("Total", name="params_total", numeric=True),
    Heading("Act.", name="params_activated", numeric=True),
    Heading("Res.", name="image_size", numeric=True),
)
"""The columns before the numbers."""

UNITS = (("B", 1e9), ("M", 1e6), ("K", 1e3))

SAME = "among numbers about the same questions, asked and scored in the same way."
AS_PAPERS = "comparable with published numbers"
NOT_AS_PAPERS = f"not {AS_PAPERS}"
WITH_INTERVALS = "±: half of the 95 % interval of a measured number."


def compare_rows(rows: Sequence[Row], layout: Layout, intervals: bool = True) -> Grid:
    """Numbers to one decimal as papers print them; rows that cannot be compared with published ones come first, in a
    block of their own."""
    ranks = {column.name: rank_rows(rows, column) for column in layout.columns}

    def number(index: int, row: Row, column: Column) -> Cell:
        name = column.name
        value, interval = row.values.get(name), row.intervals.get(name)
        text = "pending" if name in row.pending else "" if value is None else f"{value:.{DECIMALS}f}"
        if interval and intervals:
            text += f" ±{half_width(interval)}"
        notes = ((row.value_notes or {}).get(name, ""),)
        return Cell(text, value, interval, notes, ranks[name].get(index, ""))

    lines = [
        (*_facts(row), *(number(index, row, column) for column in layout.columns), _origin(row))
        for index, row in enumerate(rows)
    ]
    own = tuple(line for line, row in zip(lines, rows, strict=True) if not row.official)
    official = tuple(line for line, row in zip(lines, rows, strict=True) if row.official)
    blocks = [Block(own, NOT_AS_PAPERS), Block(official, AS_PAPERS)]
    return Grid(
        title=layout.title if official or not own else layout.own_title or layout.title,
        headings=(
            *FACTS,
            *(Heading(column.title, column.group, column.name, numeric=True) for column in layout.columns),
            Heading("Origin", name="origin"),
        ),
        blocks=tuple(block for block in blocks if block.rows),
        remarks=(
            *_marks({rank for of_column in ranks.values() for rank in of_column.values()}),
            *([WITH_INTERVALS] if intervals and any(row.intervals for row in rows) else []),
        ),
        name=layout.name,
    )


def _marks(ranks: set[Rank]) -> list[str]:
    """What the marks mean that there are."""
    if not ranks:
        return []
    return [f"Best in bold, second best underlined, {SAME}" if "second" in ranks else f"Best in bold, {SAME}"]


def half_width(interval: tuple[float, float]) -> str:
    """Of an interval, as it stands after ±."""
    return f"{(interval[1] - interval[0]) / 2:.{DECIMALS}f}"


def format_parameters(count: float | None) -> str:
    """`2.9B`, `13B`, `412K`: at most one decimal."""
    if count is None:
        return ""
    for unit, size in UNITS:
        if count >= size:
            return f"{count / size:.1f}".removesuffix(".0") + unit
    return str(int(count))


def _facts(row: Row) -> tuple[Cell, ...]:
    return (
        Cell(row.model),
        Cell(row.llm or ""),
        Cell(format_parameters(row.params_total), row.params_total),
        Cell(format_parameters(row.params_activated), row.params_activated),
        Cell(str(row.image_size or ""), row.image_size),
    )


def _origin(row: Row) -> Cell:
    return Cell(f"{row.origin}, {row.remark}" if row.remark else row.origin, notes=row.notes)
