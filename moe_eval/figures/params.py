"""Figure 1 of the MoE-LLaVA paper: what a model scores against the parameters that it activates, for any benchmark."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from moe_eval.figures.breaks import break_axis, broken_scale, extent, segment_ticks
from moe_eval.figures.drawing import Drawing, Sources, file_name
from moe_eval.figures.labels import Box, place_labels
from moe_eval.figures.scored import groups, named_rows
from moe_eval.figures.style import BLUE, GREY, PAGE, VERMILLION, new_figure
from moe_eval.table.layouts import MAIN
from moe_eval.table.rows import Column, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ParamsRow", "draw", "drawings", "rows"]

DIGITS = ((1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.2, 1.4, 1.6, 1.8, 2, 2.4, 2.8, 3.2, 3.6, 4, 5, 6, 7, 8, 9))
"""What ticks may begin with: few, more, many."""

SIZE = PAGE, 3.4
LEAST_RATIO = 1.1
"""Of the most to the least activated parameters, for there to be something to see along the axis."""


@dataclass(frozen=True)
class ParamsRow:
    """One model.

    Args:
        activated, total: parameters of the language model that a token passes through, and all.
        low, high: the 95 % interval of a measured value, where there is one.
    """

    benchmark: str
    metric: str
    model: str
    llm: str | None
    activated: float
    total: float | None
    value: float
    low: float | None
    high: float | None
    origin: Literal["measured", "published"]

    @property
    def sparse(self) -> bool:
        """Whether it leaves parameters aside."""
        return self.total is not None and self.total > self.activated


def drawings(sources: Sources) -> Iterable[Drawing]:
    for column in MAIN.columns:
        for group in groups(sources, MAIN, column):
            points = rows(group.rows, column)
            if _says_something(points):
                name = file_name("params", column.measured[0], group.suffix)
                title = f"{column.title}: performance against activated parameters{group.title}"
                yield Drawing(name, title, points, draw)


def _says_something(points: Sequence[ParamsRow]) -> bool:
    """Whether activated parameters differ: models that activate as many are compared better by a table."""
    counts = [point.activated for point in points]
    return len(counts) > 1 and max(counts) > LEAST_RATIO * min(counts)


def rows(table: Sequence[Row], column: Column) -> list[ParamsRow]:
    """The models whose activated parameters are known."""
    found = []
    for name, row in named_rows(table):
        if row.params_activated is not None:
            low, high = row.intervals.get(column.name, (None, None))
            found.append(
                ParamsRow(
                    benchmark=column.title,
                    metric=row.measures.get(column.name) or _published_metric(column),
                    model=name,
                    llm=row.llm,
                    activated=row.params_activated,
                    total=row.params_total,
                    value=row.values[column.name],
                    low=low,
                    high=high,
                    origin=row.origin,
                )
            )
    return found


def _published_metric(column: Column) -> str:
    return column.published[2].replace("_", " ").replace("f1", "F1").replace("gpt4", "GPT-4")


KINDS = (
    ("sparse, published", True, "published", BLUE, "*", 8.0),
    ("dense, published", False, "published", GREY, "o", 4.5),
    ("sparse, measured here", True, "measured", VERMILLION, "*", 8.0),
    ("dense, measured here", False, "measured", VERMILLION, "o", 4.5),
)


def draw(rows: Sequence[ParamsRow]) -> "Figure":
    """Points with their names; stars are sparse models, error bars 95 % intervals."""
    figure, (axes,) = new_figure(*SIZE)
    for label, sparse, origin, colour, marker, size in KINDS:
        points = [row for row in rows if (row.sparse, row.origin) == (sparse, origin)]
        if not points:
            continue
        for row in points:
            if row.low is not None and row.high is not None:
                axes.plot([row.activated] * 2, [row.low, row.high], color=colour, linewidth=1, zorder=2)
        axes.plot(
            [row.activated for row in points],
            [row.value for row in points],
            marker,
            color=colour,
            markersize=size,
            markeredgecolor="white",
            markeredgewidth=0.4,
            label=label,
            zorder=3,
        )
    _scale(axes, rows)
    axes.grid()
    figure.legend(loc="outside upper center", ncols=4)
    _name_points(figure, axes, rows)
    return figure


def _scale(axes: "Axes", rows: Sequence[ParamsRow]) -> None:
    """Logarithmic, with room for names at the sides; both axes broken where few models lie far from all others."""
    across = broken_scale([(math.log(row.activated),) * 2 for row in rows])
    break_axis(axes, "x", across, logarithmic=True)
    first, last = across.segments[0][0], across.segments[-1][1]
    room = float(across.forward(last) - across.forward(first))
    low, high = math.exp(first - 0.12 * room), math.exp(last + 0.18 * room)
    most = max(row.activated for row in rows)
    unit, letter = (1e9, "B") if most >= 5e8 else (1e6, "M") if most >= 5e5 else (1e3, "K")
    ticks: list[float] = []
    for start, stop in across.segments:
        left, right = low if start == first else math.exp(start), high if stop == last else math.exp(stop)
        ticks += [math.exp(start)] if start == stop and len(across.segments) > 1 else _ticks(left, right)
    axes.set_xticks(ticks, [f"{tick / unit:.3g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(low, high)
    upwards = broken_scale([extent(row.value, row.low, row.high) for row in rows])
    break_axis(axes, "y", upwards)
    bottom, top = upwards.segments[0][0], upwards.segments[-1][1]
    room = max(float(upwards.forward(top) - upwards.forward(bottom)), 1.0)
    axes.set_ylim(bottom - 0.12 * room, top + 0.12 * room)
    axes.set_yticks(segment_ticks(upwards))
    axes.set_xlabel(f"activated parameters of the language model ({letter})")
    shown = next((row for row in rows if row.origin == "measured"), rows[0])
    axes.set_ylabel(f"{shown.benchmark}, {shown.metric}")


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two others: the fewest that are at least four, if there are."""
    ticks: list[float] = []
    for digits in DIGITS:
        if len(ticks) < 4:
            ticks = [digit * 10.0**power for power in range(2, 13) for digit in digits]
            ticks = [tick for tick in ticks if low <= tick <= high]
    return ticks


def _name_points(figure: "Figure", axes: "Axes", rows: Sequence[ParamsRow]) -> None:
    """Names where there is room, with a thin line to the point where that is not beside it."""
    texts = [axes.text(row.activated, row.value, row.model, fontsize=5.5, va="bottom", zorder=5) for row in rows]
    for text in texts:
        text.set_in_layout(False)  # a long name shall not make the axes narrow
    figure.canvas.draw()  # only then sizes are known
    figure.set_layout_engine("none")  # and from now on they hold
    to_pixels, pixel = axes.transData, figure.dpi / 72
    points = [tuple(to_pixels.transform((row.activated, row.value))) for row in rows]
    extents = [text.get_window_extent() for text in texts]
    bars = [
        Box(x - pixel, to_pixels.transform((1, row.low))[1], x + pixel, to_pixels.transform((1, row.high))[1])
        for row, (x, _) in zip(rows, points, strict=True)
        if row.low is not None and row.high is not None
    ]
    box = axes.get_window_extent()
    frame = Box(box.x0 + 2 * pixel, box.y0 + 2 * pixel, box.x1 - 2 * pixel, box.y1 - 2 * pixel)
    sizes = [(extent.width + pixel, extent.height + pixel) for extent in extents]
    boxes = place_labels(points, sizes, frame, 4 * pixel, bars)
    back = to_pixels.inverted()
    for text, point, placed in zip(texts, points, boxes, strict=True):
        x, y = back.transform((placed.left + pixel / 2, placed.bottom + pixel / 2))
        text.set_position((x, y))
        end = placed.nearest(*point)
        if math.dist(point, end) > 5.5 * pixel:
            line = [back.transform(point), back.transform(end)]
            axes.plot(*zip(*line, strict=True), color=GREY, linewidth=0.4, zorder=1)
