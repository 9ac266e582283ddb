"""A whole comparison table: measured rows, each with the published row of the same model next to it, then the rest."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from moe_eval.table.measured import measured_rows
from moe_eval.table.published import PublishedNumber, published_rows
from moe_eval.table.rows import Layout, Row

__all__ = ["Published", "build_rows"]

Published = Literal["all", "own", "none"]
"""Which published rows to show: all, those of the measured models, or none."""


def build_rows(
    runs: Iterable[Path], numbers: Sequence[PublishedNumber], layout: Layout, published: Published = "all"
) -> list[Row]:
    """Rows in reading order."""
    others = {} if published == "none" else {row.model: row for row in published_rows(numbers, layout)}
    rows: list[Row] = []
    for row, published_as in measured_rows(runs, layout):
        rows.append(row)
        if published_as in others:
            rows.append(others.pop(published_as))
    return rows if published == "own" else [*rows, *others.values()]
