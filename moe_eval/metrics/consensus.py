"""The accuracy of the VQA family: an answer is right if at least three of the annotators gave it."""

from collections.abc import Callable, Sequence
from functools import cache
from math import fsum

from moe_eval.metrics.answer_text import clean_whitespace, normalise_vqa

__all__ = ["consensus", "count_matches", "official_vqa_accuracy"]


@cache
def consensus(matches: int, annotators: int = 10) -> float:
    """Accuracy of an answer that so many annotators gave, between 0 and 1.

    The mean over the annotators of min(1, n/3), where n is how many of the *others* gave the answer: of ten, 0, 0.3,
    0.6, 0.9 and 1.0 from four on. Annotators are told apart by position. Source: GT-Vision-Lab/VQA `vqaEval.py`.
    """
    among_others = [min(1.0, (matches - 1) / 3)] * matches + [min(1.0, matches / 3)] * (annotators - matches)
    return fsum(among_others) / annotators if annotators else 0.0


def count_matches(prediction: str, answers: Sequence[str], normalise: Callable[[str], str]) -> int:
    """How many of the answers are, normalised, the prediction, which is normalised already."""
    return sum([answers.count(answer) for answer in set(answers) if normalise(answer) == prediction])


def official_vqa_accuracy(prediction: str, answers: Sequence[str]) -> float:
    """Accuracy of a prediction as VQAv2's official scorer computes it, between 0 and 1.

    Where all annotators wrote the very same, neither side is normalised, so "No." is then wrong for "No".
    Source: GT-Vision-Lab/VQA `vqaEval.py`; spec section 2.
    """
    first = clean_whitespace(answers[0])
    if all(clean_whitespace(answer) == first for answer in set(answers)):
        return consensus(len(answers) if clean_whitespace(prediction) == first else 0, len(answers))
    return consensus(count_matches(normalise_vqa(prediction), answers, normalise_vqa), len(answers))
