"""A table ready to be laid out: cells with their texts, raw values, ranks and footnotes. All that a format has to know."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

__all__ = ["Block", "Cell", "Grid", "Heading", "Interval", "Rank"]

Interval = tuple[float, float]
"""Lower and upper end."""

Rank = Literal["", "best", "second"]


@dataclass(frozen=True)
class Heading:
    """One column.

    Args:
        title: what stands over it, under `group`.
        name: what the CSV calls it; by default the two together.
        numeric: set to the right.
    """

    title: str
    group: str = ""
    name: str = ""
    numeric: bool = False

    @property
    def full(self) -> str:
        return f"{self.group} {self.title}".strip()


@dataclass(frozen=True)
class Cell:
    """What stands in one place.

    Args:
        text: as people read it.
        value: as a program reads it (CSV), in full precision; None: the text.
        interval: the 95 % interval around the value; the CSV has its ends, and the text has them if a reader wants them.
        notes: footnotes, as texts: the same text gets one number in the whole table.
        rank: whether it is the best, or second best, of what it can be compared with.
    """

    text: str = ""
    value: float | None = None
    interval: Interval | None = None
    notes: tuple[str, ...] = ()
    rank: Rank = ""


@dataclass(frozen=True)
class Block:
    """Rows that belong together; `title` is not shown where there is only one block."""

    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""


@dataclass(frozen=True)
class Grid:
    """A whole table.

    Args:
        remarks: how to read it; below it, without numbers.
        name: of the layout.
    """

    title: str
    headings: tuple[Heading, ...]
    blocks: tuple[Block, ...]
    remarks: tuple[str, ...] = ()
    name: str = ""

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        return [row for block in self.blocks for row in block.rows]

    @cached_property
    def notes(self) -> dict[str, int]:
        """The number of each footnote, in reading order from 1."""
        texts = dict.fromkeys(text for row in self.rows for cell in row for text in cell.notes if text)
        return {text: number for number, text in enumerate(texts, start=1)}

    def marks(self, cell: Cell) -> list[int]:
        """Numbers of the footnotes of a cell."""
        return sorted(self.notes[text] for text in cell.notes if text)

    @property
    def groups(self) -> list[tuple[str, int]]:
        """(heading, number of columns) over the columns, left to right; "" where there is none."""
        groups: list[tuple[str, int]] = []
        for heading in self.headings:
            if groups and groups[-1][0] == heading.group:
                groups[-1] = (heading.group, groups[-1][1] + 1)
            else:
                groups.append((heading.group, 1))
        return groups

    @property
    def titled_blocks(self) -> Sequence[tuple[str, Block]]:
        """Blocks with the titles to show."""
        return [(block.title if len(self.blocks) > 1 else "", block) for block in self.blocks]
