"""How often models say yes on POPE, where half of the right answers are: far above 50 % they see what is not there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from moe_eval.figures.breaks import break_axis, broken_scale, extent, segment_ticks
from moe_eval.figures.drawing import Drawing, Sources, file_name
from moe_eval.figures.scored import groups, named_rows
from moe_eval.figures.style import BLUE, GREEN, GREY, ORANGE, PAGE, new_figure
from moe_eval.table.layouts import POPE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["YesRow", "draw", "drawings"]

CATEGORIES = {"random": (GREEN, "o"), "popular": (ORANGE, "s"), "adversarial": (BLUE, "D")}


SIZE = PAGE, 3.0
HALF = 50.0
"""The share of questions whose answer is yes."""
AROUND = (45.0, 55.0)
"""What the axis always shows."""


@dataclass(frozen=True)
class YesRow:
    """One model in one category; `yes_ratio` in per cent, with its 95 % interval where there is one."""

    model: str
    category: str
    yes_ratio: float
    low: float | None
    high: float | None
    origin: Literal["measured", "published"]


def drawings(sources: Sources) -> Iterable[Drawing]:
    found: dict[str, tuple[str, list[YesRow]]] = {}
    for column in POPE.columns:
        if column.title != "Yes":
            continue
        for group in groups(sources, POPE, column):
            _, rows = found.setdefault(group.suffix, (group.title, []))
            for name, row in named_rows(group.rows):
                low, high = row.intervals.get(column.name, (None, None))
                rows.append(YesRow(name, column.group, row.values[column.name], low, high, row.origin))
    for suffix, (title, rows) in found.items():
        yield Drawing(file_name("pope-yes-ratio", suffix), f"POPE: share of yes answers{title}", rows, draw)


def draw(rows: Sequence[YesRow]) -> "Figure":
    """A line per model, a marker per category; dashed: the share of questions whose answer is yes."""
    models = list(dict.fromkeys(row.model for row in rows))
    figure, (axes,) = new_figure(*SIZE)
    axes.axvline(HALF, color=GREY, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
    for category, (colour, marker) in CATEGORIES.items():
        points = [row for row in rows if row.category == category]
        offset = 0.22 * (list(CATEGORIES).index(category) - 1)
        places = [models.index(row.model) + offset for row in points]
        for row, place in zip(points, places, strict=True):
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [place, place], color=colour, linewidth=0.9)
        ratios = [row.yes_ratio for row in points]
        axes.plot(ratios, places, marker, color=colour, markersize=3.2, label=category, clip_on=False)
    axes.set_yticks(range(len(models)), models)
    axes.set_ylim(len(models) - 0.5, -0.5)
    _scale(axes, rows)
    axes.set_xlabel("yes answers (%)")
    axes.grid()
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def _scale(axes: "Axes", rows: Sequence[YesRow]) -> None:
    """Broken where a few models say yes to nearly all, or to nothing; half of the answers is always on it."""
    extents = [extent(row.yes_ratio, row.low, row.high) for row in rows]
    scale = broken_scale([*extents, AROUND])
    break_axis(axes, "x", scale)
    low, high = scale.segments[0][0], scale.segments[-1][1]
    room = 0.04 * float(scale.forward(high) - scale.forward(low)) or 1.0
    axes.set_xlim(low - room, high + room)
    axes.set_xticks(segment_ticks(scale))
