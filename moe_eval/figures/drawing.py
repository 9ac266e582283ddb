"""A figure before it is a file: its name, its title, its data, and how to draw them."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moe_eval.figures.style import save, styled
from moe_eval.table.published import PublishedNumber

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Drawing", "Sources", "file_name"]


@dataclass(frozen=True)
class Sources:
    """What figures are made of.

    Args:
        runs: run folders.
        numbers: published ones, in the order of preference.
    """

    runs: Sequence[Path]
    numbers: Sequence[PublishedNumber]


@dataclass(frozen=True)
class Drawing:
    """One figure.

    Args:
        name: of its files, without ending.
        title: what it shows, for a caption.
        rows: its data, dataclass instances of one kind.
        draw: the rows as a matplotlib figure.
    """

    name: str
    title: str
    rows: Sequence[Any]
    draw: "Callable[[Sequence[Any]], Figure]"

    @property
    def measured(self) -> bool:
        """Whether it shows something of a run, beside what is published."""
        return any(getattr(row, "origin", "measured") == "measured" for row in self.rows)

    @cached_property
    def figure(self) -> "Figure":
        """Drawn in our style; drawn once."""
        with styled():
            return self.draw(self.rows)

    def save(self, format_name: str, transparent: bool = False) -> bytes:
        """The figure as a file; see `style.save`."""
        return save(self.figure, format_name, transparent)

    def csv(self) -> str:
        """All that the figure shows, in full precision."""
        stream = io.StringIO()
        names = [field.name for field in fields(self.rows[0])]
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in self.rows)
        return stream.getvalue()


def file_name(*parts: str) -> str:
    """A name for files from names of figures, models and tasks.

    >>> file_name("expert-load", "hf:me/my model", "pope")
    'expert-load-hf-me-my-model-pope'
    """
    words = "".join(letter if letter.isalnum() or letter in "._=" else "-" for letter in "-".join(parts)).split("-")
    return "-".join(word for word in words if word)
