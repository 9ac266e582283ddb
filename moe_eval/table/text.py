"""From rows to a grid of text cells with footnotes: all that the output formats have to lay out."""

from collections.abc import Sequence
from dataclasses import dataclass

from moe_eval.table.rows import DECIMALS, Layout, Row, best_rows

__all__ = ["FACTS", "Cell", "TextTable", "format_parameters", "to_text"]

FACTS = ("Model", "LLM", "Total", "Act.", "Res.")
"""Headings of the columns before the numbers."""


@dataclass(frozen=True)
class Cell:
    """Text, the numbers of its footnotes, and whether it is the best of its column."""

    text: str
    notes: tuple[int, ...] = ()
    best: bool = False


@dataclass(frozen=True)
class TextTable:
    """A table ready for any format.

    Args:
        groups: (heading, number of columns) over the columns, left to right; "" where there is none.
        headings: one per column.
        rows: one list of cells per row.
        notes: footnotes; number 1 is the first.
    """

    title: str
    groups: tuple[tuple[str, int], ...]
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]


def to_text(rows: Sequence[Row], layout: Layout) -> TextTable:
    """Numbers to one decimal as papers print them, notes numbered in reading order."""
    notes: dict[str, int] = {}

    def number(*texts: str) -> tuple[int, ...]:
        return tuple(sorted(notes.setdefault(text, len(notes) + 1) for text in texts if text))

    best = {column.name: best_rows(rows, column) for column in layout.columns}
    lines = []
    for index, row in enumerate(rows):
        facts = (
            row.model,
            row.llm or "",
            format_parameters(row.params_total),
            format_parameters(row.params_activated),
            str(row.image_size or ""),
        )
        values = [
            Cell(
                text=_cell_text(row, column.name),
                notes=number((row.value_notes or {}).get(column.name, "")),
                best=index in best[column.name],
            )
            for column in layout.columns
        ]
        origin = f"{row.origin}, {row.remark}" if row.remark else row.origin
        lines.append((*map(Cell, facts), *values, Cell(origin, number(*row.notes))))
    return TextTable(
        title=layout.title,
        groups=_groups(layout),
        headings=(*FACTS, *(column.title for column in layout.columns), "Origin"),
        rows=tuple(lines),
        notes=tuple(notes),
    )


def _cell_text(row: Row, column: str) -> str:
    if column in row.pending:
        return "pending"
    return f"{row.values[column]:.{DECIMALS}f}" if column in row.values else ""


def format_parameters(count: float | None) -> str:
    """`2.9B`, `13B`, `412K`: at most one decimal."""
    if count is None:
        return ""
    for unit, size in (("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if count >= size:
            return f"{count / size:.1f}".removesuffix(".0") + unit
    return str(int(count))


def _groups(layout: Layout) -> tuple[tuple[str, int], ...]:
    groups: list[tuple[str, int]] = [("", len(FACTS))]
    for column in layout.columns:
        heading, width = groups[-1]
        if heading == column.group:
            groups[-1] = (heading, width + 1)
        else:
            groups.append((column.group, 1))
    return (*groups, ("", 1))
