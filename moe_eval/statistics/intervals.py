"""Intervals for the numbers of a scored task: 95 %, by whole groups of questions. The rule is in docs/statistics.md."""

from collections.abc import Callable, Sequence
from math import isfinite, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from moe_eval.statistics.draws import RESAMPLES, SEED, Resampled, resample_scores
from moe_eval.statistics.few_groups import CONFIDENCE, few_groups_factor, score_interval
from moe_eval.statistics.interval import IntervalMethodRecord, IntervalRecord
from moe_eval.task import Result, SampleScore

__all__ = ["CONFIDENCE", "detectable", "intervals_of", "percentile_interval", "widened"]

POWER = 0.8

SHARES = (1.0, 100.0)
"""Maxima of shares of answers; sums of them, such as MME's, have no design effect."""

DEFINED = 0.5
"""Share of resampled data sets in which a number must be defined for an interval of it."""


def percentage(path: str) -> float:
    """The maximum of any number where nothing else is said."""
    return 100.0


def intervals_of(
    samples: Sequence[SampleScore],
    aggregate: Callable[[Sequence[SampleScore]], Result],
    maximum_of: Callable[[str], float] = percentage,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    stretch: float = 1.0,
) -> tuple[dict[str, IntervalRecord], IntervalMethodRecord | None]:
    """The interval of every number that rests on two groups or more, and how they were made.

    Args:
        samples: as `scores.json` has them: `group` and whatever the aggregate needs.
        aggregate: the task's.
        stretch: how many times as wide intervals are, because the scores were looked at while they came in.
        maximum_of: the best that the number at a path can be, infinite where it has no end (`TaskProtocol.maximum_of`).

    Returns:
        Intervals by `headline` or dotted path inside the metrics. A number that most draws do not define has none; nor has
        one without a maximum that is the same in all draws or is shifted by drawing so far that the interval misses it.
    """
    groups = [str(sample["group"]) for sample in samples]
    resampled = resample_scores(aggregate, samples, groups, resamples, seed)
    if resampled is None:
        return {}, None
    found = {path: _interval(resampled, path, resampled.best or maximum_of(path), stretch) for path in resampled.draws}
    intervals = {path: interval for path, interval in found.items() if interval}
    method = IntervalMethodRecord(
        method=resampled.method,
        confidence=CONFIDENCE,
        resamples=resampled.resamples,
        seed=seed,
        clusters=resampled.clusters,
    )
    return intervals, method if intervals else None


def _interval(resampled: Resampled, path: str, maximum: float, stretch: float) -> IntervalRecord | None:
    bounds, spread, value = percentile_interval(resampled.draws[path]), resampled.spread(path), resampled.numbers[path]
    if bounds is None or (spread is None and path in resampled.influences):
        return None
    low, high, error = bounds
    bounded = spread is not None and isfinite(maximum) and 0 <= value <= maximum
    if spread and bounded:
        low, high = score_interval(value, maximum, spread, stretch)
    elif not error or not low <= value <= high:
        return None
    else:
        known = (named.get(path) for named in (resampled.influences, resampled.deletions, resampled.looked_at))
        low, high = widened((low, high), value, stretch * few_groups_factor(resampled.clusters, *known))
    return IntervalRecord(
        low=low,
        high=high,
        kind="score" if bounded else "bootstrap",
        groups=spread.groups if spread else None,
        degrees_of_freedom=spread.degrees if spread else None,
        design_effect=spread.design_effect(value, maximum) if spread and bounded and maximum in SHARES else None,
        standard_error=error,
        analytic_standard_error=resampled.analytic_standard_error(path),
        minimum_detectable_difference=detectable(sqrt(2) * error) if error else None,
    )


def widened(bounds: tuple[float, float], value: float, factor: float) -> tuple[float, float]:
    """An interval whose ends are that much further from the value."""
    low, high = bounds
    return value - factor * (value - low), value + factor * (high - value)


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
