"""Accuracy, precision, recall, F1 and yes-ratio of yes/no answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import eq

from moe_eval.metrics.totals import Number, Scores, ratio

__all__ = ["BinaryCounts", "binary_metrics", "count_binary", "precision_recall_f1"]


@dataclass(frozen=True)
class BinaryCounts:
    """The confusion matrix: true and false positives, true and false negatives; "yes" is the positive class."""

    tp: Number = 0
    fp: Number = 0
    tn: Number = 0
    fn: Number = 0

    @property
    def total(self) -> Number:
        return self.tp + self.fp + self.tn + self.fn


CELLS = {("yes", "yes"): "tp", ("yes", "no"): "fp", ("no", "no"): "tn", ("no", "yes"): "fn"}


def count_binary(pairs: Sequence[tuple[str, str]]) -> BinaryCounts:
    """Counts of (predicted, gold) pairs, each "yes" or "no"."""
    cells = Scores.of(pairs).map(CELLS.__getitem__)
    return BinaryCounts(**{cell: cells.total(partial(eq, cell)) for cell in CELLS.values()})


def binary_metrics(counts: BinaryCounts) -> dict[str, Number]:
    """Accuracy, precision, recall, F1 and yes-ratio (share of predicted "yes"), each between 0 and 1.

    A ratio whose denominator is zero (no predicted "yes", no positive in the data, nothing at all) is 0.0.
    LLaVA's scorer divides by zero there and aborts; the vectors' `edge_cases` record where.
    Source: LLaVA `eval_pope.py`; spec "POPE, metrics".
    """
    return {
        "accuracy": ratio(counts.tp + counts.tn, counts.total),
        **precision_recall_f1(counts.tp, counts.fp, counts.fn),
        "yes_ratio": ratio(counts.tp + counts.fp, counts.total),
    }


def precision_recall_f1(tp: Number, fp: Number, fn: Number) -> dict[str, Number]:
    """The three, each between 0 and 1, and 0.0 where a denominator is zero."""
    precision, recall = ratio(tp, tp + fp), ratio(tp, tp + fn)
    return {"precision": precision, "recall": recall, "f1": ratio(2 * precision * recall, precision + recall)}
