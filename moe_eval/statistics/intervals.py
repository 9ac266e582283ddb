"""Intervals for the numbers of a scored task: 95 %, from a bootstrap of whole groups of questions."""

from collections.abc import Callable, Sequence
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from moe_eval.statistics.draws import RESAMPLES, SEED, resample_scores
from moe_eval.statistics.interval import IntervalMethodRecord, IntervalRecord
from moe_eval.task import Result, SampleScore

__all__ = ["CONFIDENCE", "detectable", "intervals_of", "percentile_interval"]

CONFIDENCE = 0.95

POWER = 0.8

DEFINED = 0.5
"""Share of resampled data sets in which a number must be defined for an interval of it."""


def intervals_of(
    samples: Sequence[SampleScore],
    aggregate: Callable[[Sequence[SampleScore]], Result],
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[dict[str, IntervalRecord], IntervalMethodRecord | None]:
    """The interval of every number that varies from one resampled data set to the next, and how they were made.

    Args:
        samples: as `scores.json` has them: `group` and whatever the aggregate needs.
        aggregate: the task's.

    Returns:
        Intervals by `headline` or dotted path inside the metrics. A number that is the same in all resampled data sets, such
        as 0 % right, has none: the data do not tell how sure it is. Nor has one that resampling shifts so far that the
        interval misses it.
    """
    groups = [str(sample["group"]) for sample in samples]
    resampled = resample_scores(aggregate, samples, groups, resamples, seed)
    if resampled is None:
        return {}, None
    intervals = {}
    for path, values in resampled.draws.items():
        bounds = percentile_interval(values)
        if bounds is None:
            continue
        low, high, error = bounds
        if not error or not low <= resampled.numbers[path] <= high:
            continue
        intervals[path] = IntervalRecord(
            low=low,
            high=high,
            standard_error=error,
            analytic_standard_error=resampled.analytic_standard_error(path),
            minimum_detectable_difference=detectable(sqrt(2) * error),
        )
    method = IntervalMethodRecord(
        method=resampled.method,
        confidence=CONFIDENCE,
        resamples=resampled.resamples,
        seed=seed,
        clusters=resampled.clusters,
    )
    return intervals, method if intervals else None


def percentile_interval(draws: NDArray[np.float64]) -> tuple[float, float, float] | None:
    """Low and high end of the 95 % interval and standard error; None if the number is rarely defined.

    Source: Efron and Tibshirani, An introduction to the bootstrap, 1993, chapter 13.
    """
    defined = draws[np.isfinite(draws)]
    if len(defined) < max(2, DEFINED * len(draws)):
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    error = 0.0 if defined.max() - defined.min() < 1e-9 else float(defined.std(ddof=1))
    return float(low), float(high), error


def detectable(standard_error: float) -> float:
    """The difference that is found significant (two-sided, 5 %) with a probability of 80 %.

    Args:
        standard_error: of the difference; √2 times that of one number for two runs on pictures of their own.

    Source: Miller, Adding error bars to evals, 2024, section 5.
    """
    normal = NormalDist()
    return (normal.inv_cdf(1 - (1 - CONFIDENCE) / 2) + normal.inv_cdf(POWER)) * standard_error
