"""Models along their average score, with a bar over those that cannot be told apart.

Source of the form: Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 2006, there along mean ranks.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from moe_eval.figures.style import COLUMN, GREY, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw", "level_sets"]


def level_sets(order: Sequence[str], told_apart: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """First and last of every largest stretch of models of which no two are told apart.

    Args:
        order: the best first.
        told_apart: pairs, the better first.
    """
    stretches: list[tuple[int, int]] = []
    for start in range(len(order)):
        end = start
        while end + 1 < len(order) and not any((order[n], order[end + 1]) in told_apart for n in range(start, end + 1)):
            end += 1
        if end > start and (not stretches or end > stretches[-1][1]):
            stretches.append((start, end))
    return [(order[start], order[end]) for start, end in stretches]


def draw(averages: Sequence[tuple[str, float]], told_apart: set[tuple[str, str]]) -> "Figure":
    """The figure.

    Args:
        averages: of each model, the best first.
        told_apart: pairs, the better first.
    """
    values = dict(averages)
    bars = level_sets(list(values), told_apart)
    with styled():
        figure, (axes,) = new_figure(COLUMN, 0.5 + 0.16 * len(values) + 0.1 * len(bars))
        axes.set_yticks([])
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.spines["top"].set_visible(True)
        for row, (model, value) in enumerate(averages):
            axes.plot([value, value], [-0.6 - 0.5 * len(bars), row + 1], color=GREY, linewidth=0.6)
            axes.annotate(
                f"{model}  {value:.1f}", (value, row + 1), (3, -1), textcoords="offset points", va="center", fontsize=6
            )
        for row, (best, worst) in enumerate(bars):
            place = -0.35 - 0.5 * row
            axes.plot([values[worst], values[best]], [place, place], color="black", linewidth=2, solid_capstyle="butt")
        axes.set_ylim(len(values) + 0.7, -0.6 - 0.5 * len(bars))
        low, high = min(values.values()), max(values.values())
        margin = max(1.0, high - low)
        axes.set_xlim(low - 0.2 * margin, high + 0.9 * margin)
        axes.set_xlabel("average over tasks (% of the best possible); a bar: not told apart")
    return figure
