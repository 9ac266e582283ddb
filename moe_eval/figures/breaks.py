"""Broken axes: where a few points lie far from all others, the empty stretches between are drawn short and marked.

A break is a stretch of the axis without anything in it. The scale stays one to one elsewhere, so that slopes and
distances among the points that belong together are true.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BrokenScale", "break_axis", "broken_scale", "extent", "segment_ticks"]

MOST = 0.75
"""The share of the points that must fit into the unbroken part."""

WIDE = 0.6
"""A stretch is broken if it is wider than this share of the unbroken part …"""

DRAWN = 0.12
"""… and is then drawn as long as this share of the longest part between two breaks."""

FEWEST = 5
"""Points below which nothing is an outlier."""

Extent = tuple[float, float]


def extent(value: float, low: float | None, high: float | None) -> Extent:
    """What a point with an interval, or without one, takes of an axis."""
    return (value, value) if low is None or high is None else (min(low, value), max(high, value))


@dataclass(frozen=True)
class BrokenScale:
    """A monotone scale, in the units of the axis or of their logarithm.

    Args:
        breaks: (from, to) of each short stretch, in order.
        drawn: how long each of them is drawn.
        segments: (least, most) of what lies between the breaks.
    """

    breaks: tuple[Extent, ...] = ()
    drawn: float = 0.0
    segments: tuple[Extent, ...] = ()

    @property
    def _knots(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the slope changes: before, and after."""
        before, after, saved = [], [], 0.0
        for start, stop in self.breaks:
            before += [start, stop]
            after += [start - saved, start - saved + self.drawn]
            saved += stop - start - self.drawn
        return np.array(before), np.array(after)

    def forward(self, values: Any) -> Any:
        """Where a value is drawn."""
        return self._through(values, *self._knots)

    def inverse(self, places: Any) -> Any:
        """What is drawn at a place."""
        before, after = self._knots
        return self._through(places, after, before)

    @staticmethod
    def _through(values: Any, before: NDArray[np.float64], after: NDArray[np.float64]) -> Any:
        values = np.asarray(values, dtype=float)
        if not len(before):
            return values
        inside = np.interp(values, before, after)
        inside = np.where(values < before[0], values - before[0] + after[0], inside)
        return np.where(values > before[-1], values - before[-1] + after[-1], inside)


def broken_scale(extents: Sequence[Extent]) -> BrokenScale:
    """The scale for points, at least one, with these extents (both ends equal, or of an interval); without breaks where none is far
    from the others, or points are few.

    >>> broken_scale([(value, value) for value in (1, 2, 3, 4, 5, 40)]).breaks
    ((5, 40),)
    """
    ordered = sorted(extents)
    occupied: list[Extent] = []
    for low, high in ordered:
        if occupied and low <= occupied[-1][1]:
            occupied[-1] = occupied[-1][0], max(occupied[-1][1], high)
        else:
            occupied.append((low, high))
    gaps = [(left[1], right[0]) for left, right in pairwise(occupied)]
    whole = BrokenScale(segments=((occupied[0][0], occupied[-1][1]),))
    bulk = _bulk(ordered)
    if len(ordered) < FEWEST or bulk is None:
        return whole
    width = bulk[1] - bulk[0]
    breaks = [gap for gap in gaps if gap[1] - gap[0] > WIDE * width and not (bulk[0] < gap[1] and gap[0] < bulk[1])]
    if not breaks:
        return whole
    ends = [occupied[0][0], *(end for gap in breaks for end in gap), occupied[-1][1]]
    segments = tuple(zip(ends[::2], ends[1::2], strict=True))
    longest = max(stop - start for start, stop in segments)
    return BrokenScale(tuple(breaks), DRAWN * longest, segments)


def _bulk(ordered: Sequence[Extent]) -> Extent | None:
    """The shortest stretch that holds most points; None where it has no width."""
    count = ceil(MOST * len(ordered))
    windows = [
        (ordered[start][0], max(high for _, high in ordered[start : start + count]))
        for start in range(len(ordered) - count + 1)
    ]
    low, high = min(windows, key=lambda window: window[1] - window[0])
    return (low, high) if high > low else None


def break_axis(axes: "Axes", name: Literal["x", "y"], scale: BrokenScale, logarithmic: bool = False) -> None:
    """Give an axis the scale, and mark its breaks by two strokes on the axis and a pale band behind the points."""
    into: Callable[[Any], Any] = _log if logarithmic else np.asarray
    out: Callable[[Any], Any] = np.exp if logarithmic else np.asarray
    set_scale = axes.set_xscale if name == "x" else axes.set_yscale
    set_scale("function", functions=(lambda v: scale.forward(into(v)), lambda v: out(scale.inverse(v))))
    span = axes.axvspan if name == "x" else axes.axhspan
    for start, stop in scale.breaks:
        middle, third = (start + stop) / 2, (stop - start) / 6
        low, high = (float(out(middle - third)), float(out(middle + third)))
        span(low, high, color="#EEEEEE", linewidth=0, zorder=0)
        for place in (low, high):
            at = (place, 0) if name == "x" else (0, place)
            transform = axes.get_xaxis_transform() if name == "x" else axes.get_yaxis_transform()
            stroke = (6, 9) if name == "x" else (9, 6)
            axes.plot(
                *([one] for one in at),
                marker=[(-stroke[0], -stroke[1]), stroke],
                markersize=6,
                color="black",
                markeredgewidth=0.7,
                transform=transform,
                clip_on=False,
                zorder=6,
            )


def _log(values: Any) -> Any:
    """matplotlib asks for 0, too, before it knows the limits."""
    return np.log(np.maximum(values, np.finfo(float).tiny))


def segment_ticks(scale: BrokenScale) -> list[float]:
    """Round numbers along a linear broken axis, beyond its ends, too; a lone value beyond a break is its own tick."""
    from matplotlib.ticker import MaxNLocator

    longest = max(stop - start for start, stop in scale.segments)
    found: list[float] = []
    for start, stop in scale.segments:
        if len(scale.segments) > 1 and stop - start < longest / 8:
            found.append(float(f"{(start + stop) / 2:.3g}"))
            continue
        room = 0.12 * (stop - start) or 1.0
        low = start - room if start == scale.segments[0][0] else start
        high = stop + room if stop == scale.segments[-1][1] else stop
        found += [
            tick for tick in MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high) if low <= tick <= high
        ]
    return found
