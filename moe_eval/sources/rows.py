"""Rows of a data set with pictures, wherever they come from."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from moe_eval.images import EncodedImage

__all__ = ["Row", "Rows"]


class Row(Protocol):
    """One row: its light columns as plain values, and its pictures, which are read when they are opened."""

    @property
    def values(self) -> dict[str, Any]: ...

    @property
    def where(self) -> str:
        """Task, file and row, for messages."""
        ...

    def picture(self, column: str, name: str) -> EncodedImage:
        """The picture in `column` (the `datasets` layout: a struct with `bytes`), called `name`."""
        ...

    def has_picture(self, column: str) -> bool:
        """Whether there is one, found without reading it."""
        ...


@dataclass(frozen=True)
class Rows:
    """A split.

    Args:
        source: what names it on the command line, with the revision that was read.
        split: its name.
        revision: the commit, if there is one.
        rows: in order; to be gone through once.
    """

    source: str
    split: str
    revision: str
    rows: Iterable[Row]
