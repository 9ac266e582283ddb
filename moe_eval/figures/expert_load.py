"""Figure 6 of the MoE-LLaVA paper: the share of the choices that each expert gets, layer by layer.

First choices, as in the authors' `vis1.py` and `vis2.py`. Here every token weighs the same, as it does for the machine;
their first panel gives the text of a question the weight of its picture.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from moe_eval.figures.drawing import Drawing, Sources, file_name
from moe_eval.figures.routed import layer_axis, routed_runs, run_name, run_title, share_axis
from moe_eval.figures.style import PAGE, expert_colours, new_figure
from moe_eval.runs.routing import RoutingRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LoadRow", "draw", "drawings", "rows"]

TokenKind = Literal["all", "image", "text"]
KINDS: dict[TokenKind, str] = {"all": "all tokens", "image": "image tokens", "text": "text tokens"}


@dataclass(frozen=True)
class LoadRow:
    """One expert of one layer; experts and layers count from 0.

    Args:
        share: of the first choices of the tokens of this kind; None where there is no such token.
    """

    model: str
    task: str
    tokens: TokenKind
    layer: int
    expert: int
    first_choices: int
    later_choices: int
    share: float | None


def drawings(sources: Sources) -> Iterable[Drawing]:
    for record in routed_runs(sources.runs):
        yield Drawing(
            file_name("expert-load", run_name(record)), f"Expert load: {run_title(record)}", rows(record), draw
        )


def rows(record: RoutingRecord) -> list[LoadRow]:
    """The load of every expert, for all tokens together and by modality."""
    found = []
    for kind in KINDS:
        for index, layer in enumerate(record.layers):
            counts = np.array([of[index] for modality, of in record.counts.items() if kind in ("all", modality)])
            first, later = counts[:, 0].sum(0), counts[:, 1:].sum((0, 1))
            for expert, choices in enumerate(first.tolist()):
                share = choices / first.sum() if first.any() else None
                found.append(
                    LoadRow(record.model, record.task, kind, layer, expert, choices, int(later[expert]), share)
                )
    return found


def draw(rows: Sequence[LoadRow]) -> "Figure":
    """Three panels of stacked bars; dashed lines: a perfect balance."""
    layers = sorted({row.layer for row in rows})
    experts = max(row.expert for row in rows) + 1
    colours = expert_colours(experts)
    figure, panels = new_figure(PAGE, 1.9, columns=len(KINDS), sharey=True)
    for axes, (kind, title) in zip(panels, KINDS.items(), strict=True):
        bottom = np.zeros(len(layers))
        for expert in range(experts):
            share = {row.layer: row.share or 0.0 for row in rows if row.tokens == kind and row.expert == expert}
            height = np.array([share.get(layer, 0.0) for layer in layers])
            label = f"expert {expert}" if axes is panels[0] else None
            axes.bar(range(len(layers)), height, 0.8, bottom, color=colours[expert], label=label)
            bottom += height
        axes.set_title(title)
        layer_axis(axes, layers, PAGE / 3.6)
        share_axis(axes, [line / experts for line in range(1, experts)])
    panels[0].set_ylabel("share of first choices (%)")
    figure.legend(loc="outside upper center", ncols=min(experts, 8))
    return figure
