"""Scores of the protocol `likelihood`, where the most likely of given answers counts."""

from moe_eval.metrics.calibration import probabilities
from moe_eval.task import Sample, SampleScore

__all__ = ["YES_NO", "confidence", "is_correct", "is_yes", "probability_of_yes", "yes_or_no"]

YES_NO = ("Yes", "No")
"""As LLaVA's training data write them."""


def yes_or_no(sample: Sample) -> tuple[str, ...]:
    """The answers to a yes/no question, whatever it is."""
    return YES_NO


def probability_of_yes(sample: Sample) -> dict[str, float]:
    """`p_yes`: of the two answers; nothing where log-probabilities are not known."""
    measured = sample.meta.get("log_probabilities")
    return {"p_yes": probabilities(measured)["Yes"]} if measured else {}


def confidence(sample: Sample, prediction: str) -> dict[str, float]:
    """`confidence`: the probability of the answer among those that could be given; nothing where that is not known."""
    measured = sample.meta.get("log_probabilities")
    return {"confidence": probabilities(measured)[prediction]} if measured else {}


def is_yes(score: SampleScore) -> bool:
    """Whether yes is the right answer."""
    return score["gold"] == "yes"


def is_correct(score: SampleScore) -> bool:
    return bool(score["correct"])
