"""Numbers of resampled data sets, by the task's own aggregate.

An aggregate that is written in totals (`moe_eval.metrics.totals`) runs once to record which totals it takes, as a matrix of
cluster × total, and again on totals of resampled clusters:

    totals[R, K] = weights[R, C] @ columns[C, K]

R resamples, C clusters (groups of questions that are drawn as a whole), K totals. Cameron, Gelbach and Miller, Bootstrap-based
improvements for inference with clustered errors, 2008, call this the pairs cluster bootstrap.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe_eval.metrics.totals import OfTotals, Scores, exact_sum
from moe_eval.task import Result, SampleScore

__all__ = [
    "Clusters",
    "Draws",
    "Recording",
    "deletions",
    "draw_weights",
    "influences",
    "looked_at",
    "number_clusters",
    "numbers_of",
    "record_totals",
    "replay",
    "resample",
]

Draws = dict[str, NDArray[np.float64]]
"""By `headline` or dotted path inside the metrics, one number per resampled data set."""

BLOCK = 4_000_000
"""Numbers held at a time, of weights or of totals: 32 MB."""
COUNTED = 30_000
"""Drawn clusters that are counted at once: fewer calls, and all within the processor's cache."""

Clusters = NDArray[np.intp]
"""Number of the cluster, from 0, that each sample is in."""


def number_clusters(groups: Sequence[Any]) -> Clusters:
    """Groups by their number, in the order in which they first occur."""
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.intp)


def numbers_of(result: Result) -> dict[str, Any]:
    """What a result holds, by `headline` or the dotted path inside its metrics."""
    return {"headline": result.headline, **_flat(result.metrics)}


def _flat(metrics: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in metrics.items():
        flat |= _flat(value, f"{path}{name}.") if isinstance(value, Mapping) else {f"{path}{name}": value}
    return flat


@dataclass(frozen=True)
class Recording:
    """The totals that an aggregate takes of some scores.

    Args:
        aggregate: written in totals.
        scores: in the order of the data.
        result: of these scores.
        columns: float64 [C, K], the part of each total that comes from each cluster.
        clusters: of each score.
        places: of each total, which scores it adds up.
    """

    aggregate: OfTotals
    scores: Sequence[SampleScore]
    result: Result
    columns: NDArray[np.float64]
    clusters: Clusters
    places: tuple[NDArray[np.intp], ...]

    @property
    def selections(self) -> tuple[bytes, ...]:
        """Of each total, which scores it adds up; equal ones mean comparable totals."""
        return tuple(places.tobytes() for places in self.places)

    def numbers(self, totals: NDArray[np.float64]) -> Draws:
        """The numbers that follow from other totals than those of the data.

        Only numbers that are floats in `result`: counts of samples and words do not vary.

        Args:
            totals: [R, K].

        Returns:
            Arrays [R]; not a number where a number is not defined, such as the mean of nothing.
        """
        columns = iter(totals.T)
        scores = Scores(self.scores, add=lambda places, values: next(columns))
        with np.errstate(divide="ignore", invalid="ignore"):
            replayed = numbers_of(self.aggregate.function(scores))
        original = numbers_of(self.result)
        return {
            path: value
            for path, value in replayed.items()
            if isinstance(value, np.ndarray) and isinstance(original.get(path), float)
        }


def record_totals(aggregate: OfTotals, scores: Sequence[SampleScore], clusters: Clusters) -> Recording:
    """Run an aggregate and keep the totals that it takes."""
    size = int(clusters.max()) + 1
    columns: list[NDArray[np.float64]] = []
    selected: list[NDArray[np.intp]] = []

    def add(places: Sequence[int], values: Iterator[float]) -> float:
        listed = list(values)
        where = np.asarray(places, dtype=np.intp)
        column = np.bincount(clusters[where], weights=np.asarray(listed, dtype=float), minlength=size)
        columns.append(column.astype(np.float64, copy=False))
        selected.append(where)
        return exact_sum(places, iter(listed))

    result = aggregate.function(Scores(scores, add=add))
    matrix = np.stack(columns, axis=1) if columns else np.empty((size, 0))
    return Recording(aggregate, scores, result, matrix, clusters, tuple(selected))


def draw_weights(clusters: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each cluster is drawn, as many draws as there are clusters: blocks [r, C], R rows in all.

    The same arguments give the same draws, whatever they are used for: that is what pairs two runs.
    """
    generator = np.random.default_rng(seed)
    rows, at_once = max(1, BLOCK // clusters), max(1, COUNTED // clusters)
    offsets = np.arange(0, at_once * clusters, clusters)[:, None]
    for start in range(0, resamples, rows):
        weights = np.empty((min(rows, resamples - start), clusters))
        for first in range(0, len(weights), at_once):
            part = weights[first : first + at_once]
            drawn = generator.integers(0, clusters, part.shape, dtype=np.uint32) + offsets[: len(part)]
            part[:] = np.bincount(drawn.ravel(), minlength=part.size).reshape(part.shape)
        yield weights


def resample(recording: Recording, resamples: int, seed: int) -> Draws:
    """Numbers of data sets whose clusters are drawn with replacement."""
    size = len(recording.columns)
    return replay(recording, (weights @ recording.columns for weights in draw_weights(size, resamples, seed)))


def influences(recording: Recording) -> Draws:
    """How much each cluster moves each number: the derivative by the cluster's weight, at weight 1; arrays [C].

    The root of the sum of their squares is the clustered standard error by linearisation. For the mean of n values it is
    √(Σ_clusters (Σ_members (x − mean))²) / n, as in Miller, Adding error bars to evals, 2024, equation 4; for other
    functions of totals it is the delta method's (the infinitesimal jackknife).
    """
    totals = recording.columns.sum(axis=0)
    return {path: recording.columns @ slope for path, slope in _slopes(recording, totals).items()}


def deletions(recording: Recording) -> Draws:
    """What each number loses without each cluster; arrays [C], not a number where it is not defined without it."""
    totals, columns = recording.columns.sum(axis=0), recording.columns
    rows = max(1, BLOCK // max(1, columns.shape[1]))
    parts = (columns[start : start + rows] for start in range(0, len(columns), rows))
    numbers = numbers_of(recording.result)
    return {path: numbers[path] - without for path, without in replay(recording, (totals - p for p in parts)).items()}


def looked_at(recording: Recording) -> Draws:
    """How many scores of each cluster each number looks at, whatever it makes of them; arrays [C]."""
    totals = recording.columns.sum(axis=0)
    elsewhere = np.abs(totals) + 1 + np.arange(len(totals)) / (len(totals) + 1)  # where no slope is zero by chance
    size = len(recording.columns)
    counted: dict[bytes, NDArray[np.float64]] = {}
    sizes: Draws = {}
    for path, slope in _slopes(recording, elsewhere).items():
        used = ~(np.abs(slope) < 1e-12)
        if used.tobytes() not in counted:
            places = [where for where, is_used in zip(recording.places, used, strict=True) if is_used]
            rows = np.unique(np.concatenate(places)) if places else np.empty(0, dtype=np.intp)
            counted[used.tobytes()] = np.bincount(recording.clusters[rows], minlength=size).astype(np.float64)
        sizes[path] = counted[used.tobytes()]
    return sizes


def _slopes(recording: Recording, totals: NDArray[np.float64]) -> Draws:
    """The derivative of each number by each total, arrays [K], by central differences."""
    steps = STEP * np.maximum(1.0, np.abs(totals))
    more, less = recording.numbers(totals + np.diag(steps)), recording.numbers(totals - np.diag(steps))
    return {path: (more[path] - less[path]) / (2 * steps) for path in more}


STEP = 1e-4


def replay(recording: Recording, blocks: Iterable[NDArray[np.float64]]) -> Draws:
    """The numbers that follow from blocks [r, K] of totals, one after the other.

    Blocks are put together as far as memory allows: an aggregate takes its time, however few rows it is given.
    """
    gathered: dict[str, list[NDArray[np.float64]]] = {}
    waiting: list[NDArray[np.float64]] = []

    def give() -> None:
        for path, values in recording.numbers(np.concatenate(waiting)).items():
            gathered.setdefault(path, []).append(values)
        waiting.clear()

    for block in blocks:
        waiting.append(block)
        if sum(part.size for part in waiting) >= BLOCK:
            give()
    if waiting:
        give()
    return {path: np.concatenate(values) for path, values in gathered.items()}
