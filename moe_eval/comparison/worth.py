"""What a part of a sparse model is worth: how much worse it answers without it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tabulate import tabulate

from moe_eval.comparison.pairing import Comparison, compare_runs, corrected
from moe_eval.comparison.text import signed
from moe_eval.engine.ablation import find_pruning
from moe_eval.runs.routing import RoutingRecord
from moe_eval.runs.stored_run import StoredRun

__all__ = ["Without", "as_data", "as_markdown", "compare_without"]

LEVEL = 0.05


@dataclass(frozen=True)
class Without:
    """A model without some of its experts, beside the whole model.

    Args:
        ablation: what is taken away, such as `expert=0:3`.
        comparisons: by task, the whole model first; p-values are corrected for all ablations and tasks together.
        share: of the choices of its layer that an expert got, over all tasks, 0 to 1; None where routing was not recorded or more
            than one expert is taken away.
    """

    ablation: str
    comparisons: Mapping[str, Comparison]
    share: float | None


def compare_without(
    whole: Mapping[str, StoredRun],
    without: Mapping[str, Mapping[str, StoredRun]],
    routings: Sequence[RoutingRecord] = (),
) -> list[Without]:
    """Every ablation against the whole model.

    Args:
        whole: by task.
        without: by ablation and task, the same tasks.
        routings: of the whole model, one per task, as far as they were recorded.

    Raises:
        UserError: as `compare_runs`.
    """
    pairs = [(ablation, task) for ablation, runs in without.items() for task in runs]
    found = corrected([compare_runs(whole[task], without[ablation][task]) for ablation, task in pairs])
    comparisons = dict(zip(pairs, found, strict=True))
    return [
        Without(ablation, {task: comparisons[ablation, task] for task in runs}, _share(ablation, routings))
        for ablation, runs in without.items()
    ]


def as_markdown(rows: Sequence[Without]) -> str:
    """A row per ablation and a column per task: the difference of the headline and its 95 % interval."""
    first = rows[0].comparisons
    whole = [f"{comparison.difference.first:.2f}" for comparison in first.values()]
    table = [["nothing", "", *whole]] + [
        [row.ablation, "" if row.share is None else f"{row.share:.0%}", *map(_cell, row.comparisons.values())]
        for row in rows
    ]
    headers = ["without", "share", *(f"{task}, {comparison.headline}" for task, comparison in first.items())]
    lines = [
        tabulate(table, headers=headers, tablefmt="pipe", disable_numparse=True),
        "",
        "- differences to the whole model on the same questions, with 95 % intervals (groups of questions drawn, as in `moe-eval compare`)",
        f"- *: more than chance, p < {LEVEL} after Holm's correction for all {sum(len(row.comparisons) for row in rows)} differences",
        "- share: of the layer's choices, first and others, that fall on the expert",
    ]
    return "\n".join(lines) + "\n"


def as_data(rows: Sequence[Without]) -> list[dict[str, Any]]:
    """The same as plain data."""
    return [
        {
            "ablation": row.ablation,
            "share": row.share,
            "tasks": {
                task: {
                    "headline": one.headline,
                    "folders": [str(one.first.folder), str(one.second.folder)],
                    **asdict(one.difference),
                    "p_value": one.test.p_value,
                    "p_value_holm": one.adjusted,
                }
                for task, one in row.comparisons.items()
            },
        }
        for row in rows
    ]


def _cell(comparison: Comparison) -> str:
    difference = comparison.difference
    interval = ""
    if difference.low is not None and difference.high is not None:
        interval = f" [{signed(difference.low)}, {signed(difference.high)}]"
    return f"{signed(difference.value)}{'*' if comparison.adjusted < LEVEL else ''}{interval}"


def _share(ablation: str, routings: Sequence[RoutingRecord]) -> float | None:
    pruning = find_pruning(ablation)
    if pruning is None or len(pruning.experts) != 1 or not routings:
        return None
    ((layer, expert),) = pruning.experts
    chosen = [
        choice
        for routing in routings
        for counts in routing.counts.values()
        for choice in counts[routing.layers.index(layer)]
    ]
    total = sum(map(sum, chosen))
    return sum(choice[expert] for choice in chosen) / total if total else None
