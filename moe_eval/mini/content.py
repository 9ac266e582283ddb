"""What a scene of the small world holds: things, where they are, and a sign perhaps."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

__all__ = ["CELL", "SceneContent", "SceneObject", "Sign", "Split"]

Split = Literal["train", "test"]

CELL = 64
"""Pixels per cell of the grid on which objects stand: apart from each other, and readable when the picture is halved."""

TEST_SHARE = 5
"""One scene in so many is a test scene."""


@dataclass(frozen=True)
class SceneObject:
    """One shape in a cell of the grid; `x`, `y` and `radius` are in pixels, `angle` in degrees."""

    colour: str
    shape: str
    size: str
    column: int
    row: int
    x: float
    y: float
    radius: float
    angle: float

    @property
    def label(self) -> str:
        """Such as `red circle`: unique in its scene."""
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True)
class Sign:
    """A board with a word; it fills a row of the grid."""

    word: str
    row: int


@dataclass(frozen=True)
class SceneContent:
    """What a picture holds.

    Args:
        flaw: "blurred" or "dark" for a photo in which nothing can be made out, else "".
    """

    name: str
    columns: int
    rows: int
    place: str
    objects: tuple[SceneObject, ...]
    sign: Sign | None = None
    flaw: str = ""

    @property
    def width(self) -> int:
        return self.columns * CELL

    @property
    def height(self) -> int:
        return self.rows * CELL

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(item.label for item in self.objects)

    @property
    def word(self) -> str:
        """What the sign says; "" without a sign."""
        return self.sign.word if self.sign else ""

    def having(self, **wanted: str) -> list[SceneObject]:
        """The objects with these attributes: `scene.having(colour="red", shape="star")`."""
        return [item for item in self.objects if all(getattr(item, name) == value for name, value in wanted.items())]

    @cached_property
    def split(self) -> Split:
        """Whether the scene is for training or for testing: decided by what can be seen in it."""
        seen = sorted((item.label, item.size, item.column, item.row) for item in self.objects)
        content = repr((self.columns, self.rows, self.place, seen, self.sign, self.flaw))
        digest = hashlib.sha256(content.encode()).digest()
        return "test" if int.from_bytes(digest[:8], "big") % TEST_SHARE == 0 else "train"
