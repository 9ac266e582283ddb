"""Means in percent, of everything and per kind: what most benchmarks print. Exact sums, so no order matters."""

from collections.abc import Iterable, Mapping, Sequence
from math import fsum
from typing import Any

__all__ = ["percent", "percent_by"]


def percent(values: Iterable[float]) -> float | None:
    """100 times the mean; None of nothing."""
    listed = list(values)
    return 100 * fsum(listed) / len(listed) if listed else None


def percent_by(scores: Sequence[Mapping[str, Any]], kind: str, value: str) -> dict[str, dict[str, float | int]]:
    """Accuracy in percent and number of samples for each value of the field `kind`, sorted; without it, left out."""
    of_kind: dict[Any, list[float]] = {}
    for score in scores:
        if score.get(kind) not in (None, ""):
            of_kind.setdefault(score[kind], []).append(score[value])
    return {
        str(name): {"accuracy": 100 * fsum(values) / len(values), "samples": len(values)}
        for name, values in sorted(of_kind.items())
    }
