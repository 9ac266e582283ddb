"""How far a judge is from the original one, by answers that both have graded. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from statistics import fmean

import numpy as np

from moe_eval.statistics.few_groups import few_groups_factor
from moe_eval.statistics.intervals import widened

__all__ = ["Calibration", "calibrate"]

RESAMPLES = 10_000
TENTH = 0.1 + 1e-9
"""Grades are tenths, and 0.9 - 0.8 is a little more than 0.1."""


@dataclass(frozen=True)
class Calibration:
    """A judge beside the original one; all numbers in points or percent.

    Args:
        answers: how many both have graded.
        original: mean grade that the original gave.
        judged: mean grade that the judge gave.
        exact: share of pairs of grades, one of each, that are equal; every answer counts the same.
        within_tenth: share of pairs that are at most 0.1 apart.
        original_exact: share of pairs of two of the original's own runs that are equal; None: it has one run.
        offset: `judged - original`.
        low, high: 95 % interval of the offset, as of any difference: by bootstrap over answers, wider where they are few.
    """

    answers: int
    original: float
    judged: float
    exact: float
    within_tenth: float
    original_exact: float | None
    offset: float
    low: float
    high: float

    @property
    def differs(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def calibrate(
    original: Mapping[str, Sequence[float]], judged: Mapping[str, Sequence[float]], seed: int = 0
) -> Calibration:
    """Compare the grades of the answers that both mappings have.

    Args:
        original: grades by sample id, one per run, from 0 to 1.
        judged: the same from the judge; the number of runs may be another.

    Raises:
        ValueError: when no answer has grades of both.
    """
    names = sorted(original.keys() & judged.keys())
    if not names:
        raise ValueError("no answer is graded by both")
    means = np.array([[fmean(original[name]), fmean(judged[name])] for name in names])  # [answers, 2]
    differences = 100 * (means[:, 1] - means[:, 0])
    drawn = np.random.default_rng(seed).integers(0, len(names), (RESAMPLES, len(names)))
    offset = float(differences.mean())
    low, high = map(float, np.quantile(differences[drawn].mean(axis=1), [0.025, 0.975]))
    if len(names) > 1:
        low, high = widened((low, high), offset, few_groups_factor(len(names)))
    pairs = [list(product(original[name], judged[name])) for name in names]
    repeated = [list(combinations(original[name], 2)) for name in names if len(original[name]) > 1]
    return Calibration(
        answers=len(names),
        original=float(100 * means[:, 0].mean()),
        judged=float(100 * means[:, 1].mean()),
        exact=_share(pairs, 1e-9),
        within_tenth=_share(pairs, TENTH),
        original_exact=_share(repeated, 1e-9) if repeated else None,
        offset=offset,
        low=low,
        high=high,
    )


def _share(pairs: Sequence[Sequence[tuple[float, float]]], tolerance: float) -> float:
    """Percent of pairs that are no further apart, mean over answers."""
    return 100 * fmean(fmean(abs(one - other) <= tolerance for one, other in of_answer) for of_answer in pairs)
