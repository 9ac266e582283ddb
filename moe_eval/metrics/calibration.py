"""Whether probabilities come true: of what a model gives 80 %, four fifths should be so.

Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017 (arXiv 1706.04599), section 2.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import exp, inf

from moe_eval.metrics.totals import Number, OfTotals, Scores, of_totals
from moe_eval.task import Result, SampleScore, worth

__all__ = ["BINS", "WITHOUT_MAXIMUM", "bin_of", "expected_calibration_error", "probabilities", "with_calibration"]

BINS = 10
"""Of equal width, from 0 to 1."""

WITHOUT_MAXIMUM = {"ece": inf}
"""For `TaskProtocol.maxima`: a distance, and no share of anything."""


def probabilities(log_probabilities: Mapping[str, float]) -> dict[str, float]:
    """Of each of some answers, if one of them is given: their shares, which add up to 1.

    >>> probabilities({"Yes": -1.0, "No": -1.0})
    {'Yes': 0.5, 'No': 0.5}
    """
    highest = max(log_probabilities.values())
    weights = {answer: exp(value - highest) for answer, value in log_probabilities.items()}
    total = sum(weights.values())
    return {answer: weight / total for answer, weight in weights.items()}


def bin_of(probability: float) -> int:
    """The number of the bin that a probability is in, from 0; 1 is in the last."""
    return min(int(BINS * probability), BINS - 1)


def expected_calibration_error(
    scores: Scores[SampleScore], probability: str, happened: Callable[[SampleScore], bool]
) -> Number:
    """How far probabilities are from how often it was so, in percent: the mean over answers of their bin's difference.

    Args:
        scores: at least one.
        probability: the field of a score that holds it.
        happened: whether what was given that probability is so.
    """
    bins = scores.by(lambda score: bin_of(float(score[probability])))
    differences = [abs(members.total(probability) - members.total(happened)) for members in bins.values()]
    return 100 * sum(differences[1:], start=differences[0]) / scores.how_many()


def with_calibration(
    aggregate: Callable[[Scores[SampleScore]], Result], probability: str, happened: Callable[[SampleScore], bool]
) -> OfTotals:
    """An aggregate with the expected calibration error (`ece`, in percent) beside what it gives, where that is known.

    Args:
        probability, happened: see `expected_calibration_error`.
    """

    @of_totals
    def calibrated(scores: Scores[SampleScore]) -> Result:
        result = aggregate(scores)
        known = scores.where(lambda score: probability in score and worth(score) is not None)
        if not known:
            return result
        error = expected_calibration_error(known, probability, happened)
        return replace(result, metrics={**result.metrics, "ece": error})

    return calibrated
