"""What the figures of experts share: runs whose routing is recorded, and the axis of sparse layers.

Everywhere in what is shown (figures, their CSV files, the report) experts and layers count from 0, as in transformers and
`--ablate`; the figures of the MoE-LLaVA paper count experts from 1.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from moe_eval.registry import task_title
from moe_eval.runs.routing import RoutingRecord, read_routing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["layer_axis", "routed_runs", "run_name", "run_title", "share_axis"]


def routed_runs(runs: Sequence[Path]) -> list[RoutingRecord]:
    """The routing of the runs that have it."""
    return [record for record in map(read_routing, runs) if record]


def run_name(record: RoutingRecord) -> str:
    """Model, what was taken away from it or otherwise set, and task, for file names."""
    return " ".join(part for part in (record.model, record.ablation, *record.settings, record.task) if part)


def run_title(record: RoutingRecord) -> str:
    """The same for captions, with the name that the task has in tables."""
    otherwise = ", ".join(filter(None, (record.ablation, *record.settings)))
    model = f"{record.model} ({otherwise})" if otherwise else record.model
    return f"{model}, {task_title(record.task)}"


def layer_axis(axes: "Axes", layers: Sequence[int], width: float) -> None:
    """Numbers of the sparse layers below positions 0, 1, …: all, or as many as fit into `width` inches."""
    every = -(-len(layers) // max(1, int(width / 0.16)))
    axes.set_xticks(range(0, len(layers), every), [str(layer) for layer in layers[::every]])
    axes.set_xlim(-0.6, len(layers) - 0.4)
    axes.set_xlabel("MoE layer")


def share_axis(axes: "Axes", lines: Sequence[float]) -> None:
    """Per cent from 0 to 100, with dashed lines where a perfect balance would be."""
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
    for line in lines:
        axes.axhline(line, color="black", linewidth=0.6, linestyle=(0, (4, 3)), zorder=3)
