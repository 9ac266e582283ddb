"""Figure 8 of the MoE-LLaVA paper: the ten principal pathways of text and of image tokens through the experts.

A pathway is a token's first choice in every sparse layer. PCA runs on what an expert number means, a choice: one column
per layer and expert, 1 where the token went, not centred, so that the first component is the common way. Each component
is then shown by the pathway that contributes most to it, so every line is a way that tokens really took. (The authors'
`vis3.py` runs PCA on the expert *numbers*, cuts its scores into as many steps as there are experts and draws these;
expert numbers have no order, the sign of a component is arbitrary, and such a line need not be the way of any token.)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from moe_eval.engine.backend import Modality
from moe_eval.figures.drawing import Drawing, Sources, file_name
from moe_eval.figures.routed import layer_axis, routed_runs, run_name, run_title
from moe_eval.figures.style import BLUE, GREY, ORANGE, PAGE, SKY, VERMILLION, new_figure
from moe_eval.runs.routing import RoutingRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PathwayRow", "draw", "drawings", "principal_pathways", "rows"]

PATHWAYS = 10


@dataclass(frozen=True)
class PathwayRow:
    """One stop of a pathway; experts and layers count from 0.

    Args:
        rank: of the component that the pathway stands for, from 1.
        component: how much of all choices the component explains, from 0 to 1.
        tokens: how many of the sampled tokens took exactly this pathway.
        share: of the sampled tokens of the modality.
    """

    model: str
    task: str
    modality: Modality
    rank: int
    component: float
    tokens: int
    share: float
    layer: int
    expert: int


def drawings(sources: Sources) -> Iterable[Drawing]:
    for record in routed_runs(sources.runs):
        name, title = file_name("pathways", run_name(record)), f"Activated pathways: {run_title(record)}"
        yield Drawing(name, title, rows(record), draw)


def rows(record: RoutingRecord) -> list[PathwayRow]:
    """The principal pathways of both modalities, stop by stop."""
    found = []
    for modality in ("text", "image"):
        sampled = record.paths[modality]
        if not sampled:
            continue
        paths, tokens = np.array([path.experts for path in sampled]), np.array([path.tokens for path in sampled])
        for rank, (index, component) in enumerate(principal_pathways(paths, tokens, PATHWAYS), start=1):
            for layer, expert in zip(record.layers, paths[index].tolist(), strict=True):
                found.append(
                    PathwayRow(
                        record.model,
                        record.task,
                        modality,
                        rank,
                        component,
                        int(tokens[index]),
                        float(tokens[index] / tokens.sum()),
                        layer,
                        expert,
                    )
                )
    return found


def principal_pathways(paths: np.ndarray, tokens: np.ndarray, count: int) -> list[tuple[int, float]]:
    """The pathways that stand for the first principal components.

    Args:
        paths: [N, L] expert numbers of distinct pathways.
        tokens: [N] how many tokens took each.
        count: how many components at most.

    Returns:
        (index into `paths`, how much of all choices its component explains), largest first; a pathway that stands for
        a component does not stand for a later one.
    """
    experts = paths.max() + 1
    choices = np.eye(experts)[paths].reshape(len(paths), -1)  # [N, L * E]
    weights = tokens / tokens.sum()
    explained, components = np.linalg.eigh((choices * weights[:, None]).T @ choices)
    contributions = weights[:, None] * (choices @ components) ** 2  # [N, L * E]
    found: list[tuple[int, float]] = []
    for component in np.argsort(-explained, kind="stable")[:count]:
        share = float(explained[component] / explained.sum())
        ranked = np.argsort(-contributions[:, component].round(12), kind="stable")
        free = [index for index in ranked.tolist() if index not in {taken for taken, _ in found}]
        if share < 1e-9 or not free:
            break
        found.append((free[0], share))
    return found


def draw(rows: Sequence[PathwayRow]) -> "Figure":
    """A panel per modality: lines over layers, the first two coloured; broken up a little where they share a stop."""
    modalities: list[Modality] = [name for name in ("text", "image") if any(row.modality == name for row in rows)]
    layers = sorted({row.layer for row in rows})
    figure, panels = new_figure(PAGE, 3.35, len(modalities), sharex=True)
    for axes, modality in zip(panels, modalities, strict=True):
        _draw_panel(axes, [row for row in rows if row.modality == modality], layers)
        axes.set_title(f"{modality} tokens")
        axes.set_ylabel("expert")
    for axes in panels:
        layer_axis(axes, layers, PAGE - 1.5)
        if axes is not panels[-1]:
            axes.set_xlabel("")
    return figure


def _draw_panel(axes: "Axes", rows: Sequence[PathwayRow], layers: Sequence[int]) -> None:
    colours = {"text": (VERMILLION, ORANGE), "image": (BLUE, SKY)}[rows[0].modality]
    experts, ranks = max(row.expert for row in rows) + 1, max(row.rank for row in rows)
    for rank in range(ranks, 0, -1):
        stops = [row for row in rows if row.rank == rank]
        offset = 0.5 * ((rank - 0.5) / ranks - 0.5)
        places = [layers.index(row.layer) for row in stops]
        heights = [row.expert + offset for row in stops]
        first = rank <= len(colours)
        colour = colours[rank - 1] if first else GREY
        others = f"pathways 3 to {ranks}" if ranks > 3 else "pathway 3"
        label = f"pathway {rank}: {stops[0].share:.0%} of tokens" if first else others
        axes.plot(
            places,
            heights,
            color=colour,
            alpha=1 if first else 0.45,
            linewidth=1.6 if first else 0.8,
            marker="D" if first else "o",
            markersize=3.6 if first else 2.2,
            zorder=5 - rank / 10 if first else 2,
            label=label if rank <= len(colours) + 1 else None,
        )
    axes.set_yticks(range(experts))
    axes.set_ylim(experts - 0.5, -0.5)
    axes.grid(axis="x")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1.01, 0.5))
