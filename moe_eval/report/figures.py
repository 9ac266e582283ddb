"""The figures of the runs (`moe-eval figures`), as pictures inside the page."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Figure", "make_figures"]


@dataclass(frozen=True)
class Figure:
    """A figure and its data, both as base64.

    An SVG that is shown as a picture can neither run scripts nor share names with its neighbours.
    """

    name: str
    title: str
    svg: str
    csv: str


def make_figures(folders: Sequence[Path]) -> list[Figure]:
    """All figures that show something of the runs.

    Raises:
        UserError: when a run's files cannot be read.
    """
    from moe_eval.figures.catalogue import make_drawings  # matplotlib takes a second

    return [
        Figure(drawing.name, drawing.title, _base64(drawing.save("svg")), _base64(drawing.csv().encode()))
        for drawing in make_drawings(folders)
    ]


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
