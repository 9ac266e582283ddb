"""A score by a judge, corrected by the few answers that have gold grades, too. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from moe_eval.statistics.few_groups import score_interval, spread_of, t_quantile

__all__ = ["Corrected", "correct"]

FEWEST = 5
"""Gold grades below which their variance says nothing."""

UNSEEN = 0.5
"""How often each extreme counts as seen beside what was seen."""


@dataclass(frozen=True)
class Corrected:
    """All numbers in points.

    Args:
        value, low, high: the estimate and its 95 % interval.
        judged: mean of all that the judge gave.
        gold, gold_low, gold_high: of the gold grades alone, and the interval that they give without the judge.
        weight: how much the judge's grades count, from 0 (not at all) to 1.
        graded, answers: how many have gold grades, and how many the judge has graded.
    """

    value: float
    low: float
    high: float
    judged: float
    gold: float
    gold_low: float
    gold_high: float
    weight: float
    graded: int
    answers: int


def correct(judged: Mapping[str, float], gold: Mapping[str, float]) -> Corrected:
    """Prediction-powered estimate of the mean gold grade of all answers.

    With gold grades Y and the judge's grades f of the n answers that have both, and the judge's of the N others,

        value = mean_n(Y) + weight · (mean_N(f) − mean_n(f)),
        SE² = var_n(Y − weight · f) / n + weight² · var_N(f) / N,
        weight = cov_n(Y, f) / ((1 + n / N) · var(f)), between 0 and 1.

    Holds for any judge, as long as the answers with gold grades are a random sample. For few of them, each answer's weight is that of
    the others (cross-fitting), and errors that they happen not to show are allowed for: each of the four extremes (gold 0 or 1, judge 0 or 1)
    counts as if it had been seen half a time more. Without that an error that was not drawn would not exist, and 20 gold grades that are
    all 1 would give an interval without width. The gold grades alone get `score_interval`, as any score does.
    Sources: Angelopoulos, Duchi and Zrnic, PPI++: Efficient prediction-powered inference, 2023 (arXiv 2311.01453); Agresti and Min, Simple
    improved confidence intervals for comparing matched proportions, Statistics in Medicine 2005.

    Args:
        judged: the judge's grade by id, from 0 to 1; ids are of what varies independently, such as questions.
        gold: gold grades of some of them.

    Raises:
        ValueError: when fewer than five answers have both, or all have.
    """
    both = sorted(judged.keys() & gold.keys())
    others = np.array([100 * judged[name] for name in sorted(judged.keys() - gold.keys())])
    if len(both) < FEWEST:
        raise ValueError(f"{len(both)} answers have gold grades, and at least {FEWEST} are needed")
    if not len(others):
        raise ValueError("every answer has a gold grade: take their mean")
    true = np.array([100 * gold[name] for name in both])
    seen = np.array([100 * judged[name] for name in both])
    weights = np.array([_weight(np.delete(true, i), np.delete(seen, i), others) for i in range(len(both))])
    weight, rest = float(weights.mean()), true - weights * seen
    value = float(rest.mean() + weight * others.mean())
    low, high = _interval(rest, weight, others)
    alone = np.asarray((true - true.mean()) / len(both))
    spread = spread_of(alone, alone / (1 - 1 / len(both)), np.ones(len(both)))
    assert spread  # there are five answers or more
    gold_low, gold_high = score_interval(float(true.mean()), 100.0, spread)
    return Corrected(
        value=value,
        low=max(0.0, min(low, value)),
        high=min(100.0, max(high, value)),
        judged=float(np.concatenate([seen, others]).mean()),
        gold=float(true.mean()),
        gold_low=gold_low,
        gold_high=gold_high,
        weight=weight,
        graded=len(both),
        answers=len(judged),
    )


def _interval(rest: NDArray[np.float64], weight: float, others: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval, as if each extreme that an answer can be had been seen half a time more."""
    extremes = np.array([0.0, 100.0, -100.0 * weight, 100.0 - 100.0 * weight])
    values = np.concatenate([rest, extremes])
    counts = np.concatenate([np.ones(len(rest)), np.full(len(extremes), UNSEEN)])
    mean = float(np.average(values, weights=counts))
    variance = float(np.average((values - mean) ** 2, weights=counts)) / counts.sum()
    half = t_quantile(len(rest) - 1) * sqrt(variance + weight**2 * float(others.var(ddof=1)) / len(others))
    centre = mean + weight * float(others.mean())
    return centre - half, centre + half


def _weight(true: NDArray[np.float64], seen: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    variance = float(np.concatenate([seen, others]).var(ddof=1))
    if not variance:
        return 0.0
    shared = float(np.cov(true, seen)[0, 1])
    return min(1.0, max(0.0, shared / ((1 + len(seen) / len(others)) * variance)))
