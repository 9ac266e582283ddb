"""Yes/no metrics: known values and laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_eval.metrics import BinaryCounts, binary_metrics, count_binary

counts = st.builds(BinaryCounts, *[st.integers(0, 1000)] * 4)


def test_known_values():
    metrics = binary_metrics(BinaryCounts(tp=3, fp=1, tn=4, fn=2))
    assert metrics == pytest.approx({"accuracy": 0.7, "precision": 0.75, "recall": 0.6, "f1": 2 / 3, "yes_ratio": 0.4})


@given(counts)
def test_every_ratio_lies_between_0_and_1(matrix):
    assert all(0 <= value <= 1 for value in binary_metrics(matrix).values())


@given(counts)
def test_swapping_prediction_and_gold_swaps_precision_and_recall(matrix):
    swapped = BinaryCounts(tp=matrix.tp, fp=matrix.fn, tn=matrix.tn, fn=matrix.fp)
    one, other = binary_metrics(matrix), binary_metrics(swapped)
    assert (one["precision"], one["recall"]) == (other["recall"], other["precision"])
    assert one["f1"] == pytest.approx(other["f1"])


@given(st.lists(st.tuples(st.sampled_from(["yes", "no"]), st.sampled_from(["yes", "no"]))))
def test_every_pair_is_counted_once(pairs):
    matrix = count_binary(pairs)
    assert matrix.total == len(pairs)
    assert matrix.tp + matrix.fp == sum(prediction == "yes" for prediction, _ in pairs)
