"""One look for all figures: sizes of a two-column paper, colours that colour-blind people can tell apart, same file for same data.

Source of the colours: Okabe and Ito, "Color Universal Design" (2008).
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from moe_eval.errors import unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "COLUMN",
    "FORMATS",
    "GREEN",
    "GREY",
    "ORANGE",
    "PAGE",
    "PALETTE",
    "SKY",
    "VERMILLION",
    "expert_colours",
    "new_figure",
    "save",
    "styled",
]

COLUMN, PAGE = 3.3, 6.9
"""Widths in inches: one column of a two-column page, and both."""

BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, BLACK = "#56B4E9", "#CC79A7", "#F0E442", "#000000"
PALETTE = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, BLACK, YELLOW)
GREY = "#8A8A8A"

FORMATS = ("svg", "pdf", "png")

_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is there on every machine
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "legend.fontsize": 6,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "svg.fonttype": "path",  # looks the same wherever it is shown
    "svg.hashsalt": "moe-eval",  # same data, same bytes
    "pdf.fonttype": 42,  # submission systems refuse the default, Type 3
}


@contextmanager
def styled() -> Iterator[None]:
    """Everything that is drawn or saved inside looks like our figures; settings outside stay as they are."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)  # type: ignore[arg-type]
        yield


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> "tuple[Figure, Sequence[Axes]]":
    """A figure of that size in inches, and its axes row by row; `options` go to `Figure.subplots`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.ravel())


def save(figure: "Figure", format_name: str, transparent: bool = False) -> bytes:
    """The figure as a file of a format of `FORMATS`, without a date in it.

    Args:
        transparent: without a ground of its own, for a page that has one.

    Raises:
        UserError: naming the formats that exist.
    """
    if format_name not in FORMATS:
        raise unknown("format", format_name, FORMATS)
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[format_name]
    stream = io.BytesIO()
    with styled():
        figure.savefig(stream, format=format_name, metadata=metadata, transparent=transparent)
    return stream.getvalue()


def expert_colours(count: int) -> list[Any]:
    """A colour per expert; beyond the palette, shades from dark to light."""
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    import matplotlib

    return [matplotlib.colormaps["cividis"](index / (count - 1)) for index in range(count)]
