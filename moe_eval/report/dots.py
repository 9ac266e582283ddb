"""Where dots and intervals of a small dot plot stand: one row per number, all on one scale."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Dot", "DotPlot", "nice_ends", "plot_dots"]


@dataclass(frozen=True)
class Dot:
    """Positions from 0 (left end of the scale) to 100 (right end)."""

    at: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class DotPlot:
    """The scale's ends as text, and one dot per number; None where a number is missing."""

    low: str
    high: str
    dots: tuple[Dot | None, ...]


def plot_dots(
    numbers: Sequence[tuple[float | None, tuple[float, float] | None]], most: float = math.inf
) -> DotPlot | None:
    """The plot of some numbers with their intervals; None where a picture would say no more than the number.

    Args:
        most: the largest that a number can be: the scale does not go beyond.
    """
    known = [value for value, _ in numbers if value is not None and math.isfinite(value)]
    if len(set(known)) < 2 and not any(interval for _, interval in numbers):
        return None
    low, high = nice_ends([*known, *(end for _, interval in numbers if interval for end in interval)])
    high = max(min(high, most), *known)

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    dots = [
        None
        if value is None or not math.isfinite(value)
        else Dot(place(value), *(map(place, interval) if interval else ()))
        for value, interval in numbers
    ]
    return DotPlot(f"{low:g}", f"{high:g}", tuple(dots))


def nice_ends(values: Sequence[float]) -> tuple[float, float]:
    """Round numbers around the values, near enough that differences are seen, with some room on both sides; but no
    negative end where nothing is negative.

    >>> nice_ends([85.9, 84.1]), nice_ends([0.0, 3.1])
    ((83.5, 86.5), (0.0, 4.0))
    """
    low, high = min(values), max(values)
    span = high - low or abs(high) * 0.02 or 1.0
    step = 10 ** math.floor(math.log10(span))
    step *= next(factor for factor in (0.5, 1, 2, 5) if factor * step >= span / 4)
    left, right = step * math.floor((low - span / 10) / step), step * math.ceil((high + span / 10) / step)
    return _tidy(max(left, 0.0) if low >= 0 else left), _tidy(right)


def _tidy(value: float) -> float:
    """Without the dust that multiplying by a power of ten leaves."""
    return float(f"{value:.12g}")
