"""The figure of achieved coverage: a panel per kind of task, a line per share of right answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from moe_eval.figures.style import GREY, PAGE, PALETTE, new_figure, save, styled

__all__ = ["draw"]


def draw(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """An SVG; rows as `bench.coverage` writes them."""
    names = list(dict.fromkeys(row["world"] for row in rows))
    levels = sorted({row["level"] for row in rows})
    with styled():
        figure, axes = new_figure(PAGE, 1.6 * -(-len(names) // 3), -(-len(names) // 3), 3, sharex=True, sharey=True)
        for axis, name in zip(axes, names, strict=False):
            axis.axhspan(93, 97, color="#EEEEEE", zorder=0)
            axis.axhline(95, color=GREY, linewidth=0.6)
            for level, colour in zip(levels, PALETTE, strict=False):
                line = sorted(
                    (r["questions"], r["coverage"]) for r in rows if (r["world"], r["level"]) == (name, level)
                )
                axis.plot(
                    *zip(*line, strict=True),
                    marker=".",
                    markersize=3,
                    linewidth=0.8,
                    color=colour,
                    label=f"{level:.0%} right",
                )
            axis.set_xscale("log")
            axis.set_title(name)
        axes[0].set_ylim(85, 100.5)
        axes[0].legend(loc="lower right")
        figure.supxlabel("questions", fontsize=7)
        figure.supylabel("truth in the 95 % interval (%)", fontsize=7)
        for axis in axes[len(names) :]:
            axis.set_visible(False)
        return save(figure, "svg")
