"""The figures of the runs, as pictures inside the page."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from moe_eval.report.runs import ReportRun

__all__ = ["Figure", "make_figures"]


@dataclass(frozen=True)
class Figure:
    """An SVG as base64: shown as a picture, it can neither run scripts nor share names with its neighbours."""

    title: str
    svg: str

    @classmethod
    def of(cls, title: str, svg: bytes) -> "Figure":
        return cls(title, base64.b64encode(svg).decode("ascii"))


def make_figures(runs: Sequence[ReportRun]) -> list[Figure]:
    """All that the runs have data for."""
    return []
