"""Accuracy, precision, recall, F1 and yes-ratio of yes/no answers."""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["BinaryCounts", "binary_metrics", "count_binary"]


@dataclass(frozen=True)
class BinaryCounts:
    """The confusion matrix; "yes" is the positive class."""

    true_positives: int = 0
    false_positives: int = 0
    true_negatives: int = 0
    false_negatives: int = 0

    @property
    def total(self) -> int:
        return self.true_positives + self.false_positives + self.true_negatives + self.false_negatives


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
    tp, fp, tn, fn = (
        counts.true_positives,
        counts.false_positives,
        counts.true_negatives,
        counts.false_negatives,
    )
    precision, recall = _ratio(tp, tp + fp), _ratio(tp, tp + fn)
    return {
        "accuracy": _ratio(tp + tn, counts.total),
        "precision": precision,
        "recall": recall,
        "f1": _ratio(2 * precision * recall, precision + recall),
        "yes_ratio": _ratio(tp + fp, counts.total),
    }


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else 0.0
