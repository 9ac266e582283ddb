"""The figures of the runs (`moe-eval figures`), as pictures inside the page."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Figure", "by_family", "make_figures"]

AT_ONCE = ("tasks", "pope-yes-ratio")
"""Kinds that are shown at once, for there is one of each; of the others there is one per run or benchmark."""

FAMILIES = {
    "params": "Performance against activated parameters",
    "reliability": "Reliability of yes",
    "expert-load": "Expert load",
    "modality": "Modalities per expert",
    "pathways": "Activated pathways",
    "expert-overlap": "Overlap and balance of experts",
    "specialisation": "Specialisation of experts",
}
"""What the page's selector calls the other kinds."""


@dataclass(frozen=True)
class Figure:
    """A figure and its data, both as base64.

    An SVG that is shown as a picture can neither run scripts nor share names with its neighbours.
    """

    name: str
    kind: str
    title: str
    svg: str
    csv: str

    @property
    def at_once(self) -> bool:
        """Whether it is shown without being chosen."""
        return self.kind in AT_ONCE


def make_figures(folders: Sequence[Path]) -> list[Figure]:
    """All figures that show something of the runs.

    Raises:
        UserError: when a run's files cannot be read.
    """
    from moe_eval.figures.catalogue import kind_of, make_drawings  # matplotlib takes a second

    return [
        Figure(
            drawing.name,
            kind_of(drawing),
            drawing.title,
            _base64(drawing.save("svg", transparent=True)),
            _base64(drawing.csv().encode()),
        )
        for drawing in make_drawings(folders)
    ]


def by_family(figures: Sequence[Figure]) -> list[tuple[str, list[Figure]]]:
    """Those to choose from, under what the selector calls their kind."""
    families = [(title, [figure for figure in figures if figure.kind == kind]) for kind, title in FAMILIES.items()]
    return [(title, members) for title, members in families if members]


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
