"""Means in percent, of everything and per kind: what most benchmarks print. Exact sums, so no order matters."""

from collections.abc import Callable
from typing import Any

from moe_eval.metrics.totals import Number, Scores
from moe_eval.task import SampleScore

__all__ = ["percent", "percent_by"]


def percent(scores: Scores[Any], value: str | Callable[[Any], float]) -> Number:
    """100 times the mean of a value; None of nothing."""
    return 100 * scores.total(value) / scores.how_many() if scores else None


def percent_by(scores: Scores[SampleScore], kind: str, value: str) -> dict[str, dict[str, Number]]:
    """Accuracy in percent and number of samples for each value of the field `kind`, sorted; without it, left out."""
    of_kind = scores.where(lambda score: score.get(kind) not in (None, "")).by(lambda score: score[kind])
    return {
        str(name): {"accuracy": percent(members, value), "samples": len(members)}
        for name, members in sorted(of_kind.items())
    }
