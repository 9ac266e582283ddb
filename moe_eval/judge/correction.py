"""A score by a judge, corrected by the few answers that have gold grades, too. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from moe_eval.statistics.few_groups import spread_of, t_quantile

__all__ = ["Corrected", "correct"]

FEWEST = 5
"""Gold grades below which their variance says nothing."""


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

    Valid for any judge, as long as the answers with gold grades are a random sample. For few of them, each answer's weight is that of
    the others (cross-fitting), and degrees of freedom are those of `spread_of`: where a judge errs seldom, few errors say how much.
    Source: Angelopoulos, Duchi and Zrnic, PPI++: Efficient prediction-powered inference, 2023 (arXiv 2311.01453).

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
    value = rest.mean() + weight * others.mean()
    influences = np.concatenate([(rest - rest.mean()) / len(both), weight * (others - others.mean()) / len(others)])
    shares = np.repeat([1 / len(both), 1 / len(others)], [len(both), len(others)])
    spread = spread_of(influences, influences / (1 - shares), np.ones(len(influences)))
    assert spread  # there are more than two answers
    half = t_quantile(min(spread.degrees, len(both) - 1)) * spread.error
    half_alone = t_quantile(len(both) - 1) * sqrt(true.var(ddof=1) / len(both))
    return Corrected(
        value=float(value),
        low=float(max(0.0, value - half)),
        high=float(min(100.0, value + half)),
        judged=float(np.concatenate([seen, others]).mean()),
        gold=float(true.mean()),
        gold_low=float(max(0.0, true.mean() - half_alone)),
        gold_high=float(min(100.0, true.mean() + half_alone)),
        weight=weight,
        graded=len(both),
        answers=len(judged),
    )


def _weight(true: NDArray[np.float64], seen: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    variance = float(np.concatenate([seen, others]).var(ddof=1))
    if not variance:
        return 0.0
    shared = float(np.cov(true, seen)[0, 1])
    return min(1.0, max(0.0, shared / ((1 + len(seen) / len(others)) * variance)))
