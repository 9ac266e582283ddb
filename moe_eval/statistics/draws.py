"""Numbers of resampled data sets, by whatever aggregate a task has: fast if it is written in totals, else one by one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isclose, sqrt
from typing import Any, Literal

import numpy as np

from moe_eval.metrics.means import percent
from moe_eval.metrics.totals import OfTotals, RunOnce, Scores
from moe_eval.statistics.few_groups import Spread, spread_of
from moe_eval.statistics.resampling import (
    Clusters,
    Draws,
    deletions,
    draw_weights,
    influences,
    looked_at,
    number_clusters,
    numbers_of,
    record_totals,
    resample,
)
from moe_eval.task import Result, SampleScore, worth

__all__ = ["RESAMPLES", "SEED", "Resampled", "resample_scores"]

Method = Literal["clustered bootstrap", "clustered bootstrap of a plain function", "clustered bootstrap of the mean"]

RESAMPLES = 10_000
SEED = 0

PLAIN_VALUES = 4_000_000
"""About how many scores a plain aggregate is given in all its resamples, of which there are 200 to 1,000."""

PLAIN_SECONDS = 60.0
"""A plain aggregate that would take longer is not resampled."""


@dataclass(frozen=True)
class Resampled:
    """What resampling gave.

    Args:
        method: how.
        numbers: of the data themselves, by path.
        draws: of resampled data sets.
        influences: of each cluster on each number, where there are any.
        deletions: what each of these numbers loses without each cluster.
        looked_at: how many scores of each cluster each of these numbers looks at.
        clusters: how many there are.
        resamples: how many data sets were drawn.
        best: what the headline would be if every answer were fully right, where it is known as the mean of their worth.
    """

    method: Method
    numbers: dict[str, Any]
    draws: Draws
    influences: Draws
    deletions: Draws
    looked_at: Draws
    clusters: int
    resamples: int
    best: float | None = None

    def spread(self, path: str) -> Spread | None:
        """How far a number would move with other groups, by linearisation; None where that is not known."""
        if path not in self.influences:
            return None
        return spread_of(self.influences[path], self.deletions[path], self.looked_at[path])

    def analytic_standard_error(self, path: str) -> float | None:
        """Clustered, by linearisation; None where there is none."""
        if path not in self.influences:
            return None
        error = sqrt(float(np.sum(self.influences[path] ** 2)))
        return error if np.isfinite(error) else None


def resample_scores(
    aggregate: Callable[[Sequence[SampleScore]], Result],
    scores: Sequence[SampleScore],
    groups: Sequence[str],
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Resampled | None:
    """Numbers of data sets whose groups are drawn with replacement; the same arguments give the same draws of groups.

    Args:
        aggregate: any function. One that is not written in totals is run on 200 to 1,000 resampled lists of scores; if that
            takes too long, fails or is not wanted (`RunOnce`), the headline alone is resampled, provided that it is the mean
            of what answers are worth.
        groups: the group of each score.

    Returns:
        None where there is nothing to draw (fewer than two groups) or none of this is possible.
    """
    clusters = number_clusters(groups)
    if not len(clusters) or not clusters.max():
        return None
    if isinstance(aggregate, OfTotals):
        return _of_totals("clustered bootstrap", aggregate, scores, clusters, resamples, seed)
    of_mean = _of_mean(aggregate, scores, clusters, resamples, seed)
    if isinstance(aggregate, RunOnce):
        return of_mean
    return _of_plain_function(aggregate, scores, clusters, seed, of_mean) or of_mean


def _of_totals(
    method: Method, aggregate: OfTotals, scores: Sequence[SampleScore], clusters: Clusters, resamples: int, seed: int
) -> Resampled:
    recording = record_totals(aggregate, scores, clusters)
    draws = resample(recording, resamples, seed)
    numbers = numbers_of(recording.result)
    return Resampled(
        method,
        numbers,
        draws,
        influences=influences(recording),
        deletions=deletions(recording),
        looked_at=looked_at(recording),
        clusters=len(recording.columns),
        resamples=resamples,
    )


def _of_plain_function(
    aggregate: Callable[[Sequence[SampleScore]], Result],
    scores: Sequence[SampleScore],
    clusters: Clusters,
    seed: int,
    of_mean: Resampled | None,
) -> Resampled | None:
    """None where the function fails on resampled scores or takes too long: it is somebody else's."""
    resamples = min(max(PLAIN_VALUES // len(scores), 200), 1000)
    size = int(clusters.max()) + 1
    start = time.perf_counter()
    numbers = numbers_of(aggregate(scores))
    if (time.perf_counter() - start) * resamples > PLAIN_SECONDS:
        return None
    floats = [path for path, value in numbers.items() if isinstance(value, float)]
    drawn: Draws = {path: np.full(resamples, np.nan) for path in floats}
    rows = (row for block in draw_weights(size, resamples, seed) for row in block)
    for number, row in enumerate(rows):
        times = row[clusters].astype(int).tolist()
        try:
            again = numbers_of(aggregate([one for one, often in zip(scores, times, strict=True) for _ in range(often)]))
        except Exception:
            return None
        for path in floats:
            if isinstance(again.get(path), float):
                drawn[path][number] = again[path]
    method: Method = "clustered bootstrap of a plain function"
    if of_mean:
        return replace(of_mean, method=method, numbers=numbers, draws=drawn, resamples=resamples)
    return Resampled(method, numbers, drawn, {}, {}, {}, size, resamples)


def _of_mean(
    aggregate: Callable[[Sequence[SampleScore]], Result],
    scores: Sequence[SampleScore],
    clusters: Clusters,
    resamples: int,
    seed: int,
) -> Resampled | None:
    """The headline alone, if it is the mean of what the answers are worth, or 100 times that."""
    headline = aggregate(scores).headline
    if headline is None or any(worth(score) is None for score in scores):
        return None
    mean = percent(Scores.of(scores), lambda score: worth(score) or 0.0)
    scale = next((scale for scale in (0.01, 1.0) if isclose(headline, scale * mean, rel_tol=1e-9)), None)
    if scale is None:
        return None
    written = OfTotals(lambda rows: Result(scale * percent(rows, lambda score: worth(score) or 0.0), {}))
    found = _of_totals("clustered bootstrap of the mean", written, scores, clusters, resamples, seed)
    return replace(found, best=100 * scale)
