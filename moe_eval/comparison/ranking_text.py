"""A ranking as Markdown that is readable in a terminal, too, and as plain data."""

from typing import Any

from tabulate import tabulate

from moe_eval.comparison.ranking import Pair, Ranking
from moe_eval.comparison.text import cell, number, p_text, signed

__all__ = ["as_data", "as_markdown"]


def as_markdown(ranking: Ranking) -> str:
    """A row per model, what the average weighs, and a row per pair."""
    tasks = list(ranking.weights)
    models = [
        [f"{one.best}–{one.worst}" if one.best < one.worst else str(one.best), cell(one.model), number(one.average)]
        + [number(one.values[task]) for task in tasks]
        for one in ranking.models
    ]
    pairs = [_row(pair, tasks) for pair in ranking.pairs]
    weights = ", ".join(f"{task} {weight:.3g}" for task, weight in ranking.weights.items())
    lines = [
        _table(["rank", "model", "average", *tasks], models),
        "",
        f"- average: percent of each task's maximum, weighed {weights} (--weights)",
        "- rank: those that are possible; all intervals hold together with a probability of 95 %",
        f"- p (Holm): corrected over all {ranking.tests} comparisons, of every pair on every task and on the average",
    ]
    if ranking.left_out:
        lines.append(f"- not run by all, left out: {', '.join(ranking.left_out)}")
    headers = ["A", "B", "A − B, average", "95 % interval", "p (Holm)", *(f"{task}, p (Holm)" for task in tasks)]
    return "\n".join([*lines, "", _table(headers, pairs)]) + "\n"


def _row(pair: Pair, tasks: list[str]) -> list[str]:
    low, high = pair.difference - pair.half_width, pair.difference + pair.half_width
    of_tasks = [f"{signed(-pair.tasks[task].difference.value)}, {p_text(pair.adjusted[task])}" for task in tasks]
    return [
        cell(pair.first),
        cell(pair.second),
        signed(pair.difference),
        f"[{signed(low)}, {signed(high)}]",
        p_text(pair.adjusted_average),
        *of_tasks,
    ]


def _table(headers: list[str], rows: list[list[str]]) -> str:
    return tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True)


def as_data(ranking: Ranking) -> dict[str, Any]:
    """All of it as plain data, for JSON."""
    return {
        "weights": dict(ranking.weights),
        "tests": ranking.tests,
        "left_out": list(ranking.left_out),
        "models": [
            {"model": one.model, "average": one.average, "ranks": [one.best, one.worst], "values": dict(one.values)}
            for one in ranking.models
        ],
        "pairs": [
            {
                "first": pair.first,
                "second": pair.second,
                "difference": pair.difference,
                "interval": [pair.difference - pair.half_width, pair.difference + pair.half_width],
                "p_value_holm": pair.adjusted_average,
                "tasks": {
                    task: {"difference": -one.difference.value, "p_value_holm": pair.adjusted[task]}
                    for task, one in pair.tasks.items()
                },
            }
            for pair in ranking.pairs
        ],
    }
