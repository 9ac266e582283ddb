"""How sure a number is when groups are few or nearly all answers right: the part of the interval that a normal curve gets wrong.

C groups (of questions about one picture), each with an influence on the number (the derivative by its weight).
"""

from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

__all__ = ["Spread", "few_groups_factor", "score_interval", "spread_of", "t_quantile"]

CONFIDENCE = 0.95
"""Of all intervals."""

TINY = 1e-12


@dataclass(frozen=True)
class Spread:
    """How far a number would move with other groups.

    Args:
        error: standard error in the number's own units, corrected for few groups and for large ones.
        degrees: of freedom of that error.
        groups: how many the number looks at.
        questions: how many answers it looks at.
    """

    error: float
    degrees: float
    groups: int
    questions: int

    def design_effect(self, value: float, maximum: float) -> float | None:
        """SE² over p(1 − p) / n, that of n independent answers of which the share p is right; None where either is 0."""
        share, error = value / maximum, self.error / maximum
        independent = share * (1 - share) / self.questions
        return error**2 / independent if error > TINY and independent > TINY else None


def spread_of(
    influences: NDArray[np.float64], deletions: NDArray[np.float64], sizes: NDArray[np.float64]
) -> Spread | None:
    """The standard error of a number with its degrees of freedom; None from fewer than two groups.

    A group pulls the number towards itself, so that its influence looks too small, while what the number loses without
    it (the jackknife) looks too large by as much; the error is that of their geometric means. For a mean over groups that
    hold the shares h of the questions, this is influence / √(1 − h): the CR2 correction of Bell and McCaffrey, Bias
    reduction in standard errors for linear regression with multi-stage samples, 2002. Degrees of freedom are those of a χ² variable that varies as much as the sum of
    squares does (Satterthwaite 1946), by the fourth moment of the influences: two where one group alone erred, groups − 1
    where influences are normal, and never more.

    Args:
        influences: [C], of each group.
        deletions: [C], what the number loses without it; not a number where it is not defined then.
        sizes: [C], questions in it; 0 where the number does not look at the group.
    """
    looked_at = sizes > 0
    groups, questions = int(looked_at.sum()), int(sizes.sum())
    if groups < 2:
        return None
    products = influences[looked_at] * deletions[looked_at]
    squares = np.where(products > 0, products, influences[looked_at] ** 2)
    total = float(squares.sum())
    if not np.isfinite(total):
        return None
    degrees = groups - 1.0
    if total > 0:
        kurtosis = groups * float((squares**2).sum()) / total**2
        excess = (kurtosis - (groups - 3) / (groups - 1)) / groups  # the relative variance of the sum of squares
        degrees = min(degrees, max(1.0, 2 / excess)) if excess > 0 else degrees
    return Spread(sqrt(total), degrees, groups, questions)


def t_quantile(degrees: float) -> float:
    """How many standard errors the 95 % interval reaches to either side."""
    return float(stdtrit(degrees, 1 - (1 - CONFIDENCE) / 2))


def score_interval(value: float, maximum: float, spread: Spread, stretch: float = 1.0) -> tuple[float, float]:
    """The 95 % interval of a number between 0 and a maximum: Wilson's, for as many questions as the error is worth.

    With p = value / maximum, the *effective number of questions* n = p(1 − p) / SE² is how many independent ones would give
    this error. Where the error is 0, such as at 0 and 100 %, every group counts as one question. Source: Wilson, Probable
    inference, JASA 1927; with effective numbers: Korn and Graubard, Confidence intervals for proportions with small expected
    number of positive counts estimated from survey data, Survey Methodology 1998; compared by Franco et al., Comparative
    study of confidence intervals for proportions in complex sample surveys, 2019.

    Args:
        stretch: how many times as many standard errors the interval reaches.
    """
    share, error = value / maximum, spread.error / maximum
    effective = share * (1 - share) / error**2 if error > TINY else float(spread.groups)
    if effective < TINY:  # all right or wrong, but for the last bits
        effective = float(spread.groups)
    per_question = (stretch * t_quantile(spread.degrees)) ** 2 / effective
    centre = (share + per_question / 2) / (1 + per_question)
    half = sqrt(max(0.0, per_question * share * (1 - share) + per_question**2 / 4)) / (1 + per_question)
    # Rounding must not put the ends inside of the value.
    low, high = min(max(0.0, centre - half), share), max(min(1.0, centre + half), share)
    return maximum * low, maximum * high


def few_groups_factor(
    clusters: int,
    influences: NDArray[np.float64] | None = None,
    deletions: NDArray[np.float64] | None = None,
    sizes: NDArray[np.float64] | None = None,
) -> float:
    """By how much a bootstrap's interval is too narrow: it knows neither *t* nor a correction of the error.

    Args:
        clusters: how many were drawn.
        influences, deletions, sizes: as of `spread_of`, where they are known; else groups are taken to be of one size.
    """
    if influences is None or deletions is None or sizes is None:
        spread = None
    else:
        spread = spread_of(influences, deletions, sizes)
    if spread is None or not spread.error or influences is None:
        return sqrt(clusters / (clusters - 1)) * t_quantile(clusters - 1) / t_quantile(inf)
    correction = spread.error / sqrt(float(np.sum(influences**2)))
    return correction * t_quantile(spread.groups - 1) / t_quantile(inf)
