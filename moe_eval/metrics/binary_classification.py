"""Accuracy, precision, recall, F1 and yes-ratio of yes/no answers."""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["BinaryCounts", "binary_metrics", "count_binary", "precision_recall_f1"]


@dataclass(frozen=True)
class BinaryCounts:
    """The confusion matrix: true and false positives, true and false negatives; "yes" is the positive class."""

    tp: int = 0
    fp: int = 0
    tn: int = 0
    fn: int = 0

    @property
    def total(self) -> int:
        return self.tp + self.fp + self.tn + self.fn


def count_binary(pairs: Iterable[tuple[str, str]]) -> BinaryCounts:
    """Counts of (predicted, gold) pairs, each "yes" or "no"."""
    cells = {("yes", "yes"): 0, ("yes", "no"): 0, ("no", "no"): 0, ("no", "yes"): 0}
    for pair in pairs:
        cells[pair] += 1
    return BinaryCounts(*cells.values())


def binary_metrics(counts: BinaryCounts) -> dict[str, float]:
    """Accuracy, precision, recall, F1 and yes-ratio (share of predicted "yes"), each between 0 and 1.

    A ratio whose denominator is zero (no predicted "yes", no positive in the data, nothing at all) is 0.0.
    LLaVA's scorer divides by zero there and aborts; the vectors' `edge_cases` record where.
    Source: LLaVA `eval_pope.py`; spec "POPE, metrics".
    """
    return {
        "accuracy": _ratio(counts.tp + counts.tn, counts.total),
        **precision_recall_f1(counts.tp, counts.fp, counts.fn),
        "yes_ratio": _ratio(counts.tp + counts.fp, counts.total),
    }


def precision_recall_f1(tp: int, fp: int, fn: int) -> dict[str, float]:
    """The three, each between 0 and 1, and 0.0 where a denominator is zero."""
    precision, recall = _ratio(tp, tp + fp), _ratio(tp, tp + fn)
    return {"precision": precision, "recall": recall, "f1": _ratio(2 * precision * recall, precision + recall)}


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else 0.0
