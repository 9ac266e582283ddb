"""Overlap, balance and dead experts of tiny loads."""

from dataclasses import replace

import numpy as np
import pytest

from moe_eval.figures.expert_overlap import balance, dead_experts, overlap, overlap_interval, rows
from moe_eval.figures.question_loads import QuestionLoads
from tests.moe_eval.figures.test_routed_figures import record


@pytest.mark.parametrize(
    ("image", "text", "value"),
    [([8, 8], [1, 1], 1.0), ([8, 0], [0, 3], 0.0), ([6, 2], [1, 3], 0.5)],
)
def test_overlap_is_the_sum_of_the_smaller_shares(image, text, value):
    assert overlap(np.array(image), np.array(text)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("choices", "value"), [([5, 5, 5, 5], 1.0), ([9, 0, 0, 0], 0.0), ([7, 7, 0, 0], 0.5), ([4], 1.0)]
)
def test_balance_is_entropy_over_that_of_an_even_load(choices, value):
    assert balance(np.array(choices)) == pytest.approx(value)


def test_an_expert_of_text_alone_is_not_dead():
    """Of four experts, the third has 0.6 % of all choices, but 6 % of the text tokens'; the fourth has next to nothing."""
    image, text = np.array([500, 489, 1, 10]), np.array([50, 44, 6, 0])
    assert dead_experts(image, text) == [3]


def test_the_interval_is_of_groups():
    """The same counts, but each group's questions are alike, so there is less to go by."""
    generator = np.random.default_rng(0)
    of_groups = [generator.poisson(mean, (8, 2)).astype(float) for mean in ([6, 2], [3, 5])]
    image, text = (np.repeat(choices, 10, axis=0) for choices in of_groups)
    value = float(overlap(image.sum(0), text.sum(0)))
    low, high = overlap_interval(image, text, np.repeat(np.arange(8), 10), value)
    narrow_low, narrow_high = overlap_interval(image, text, np.arange(80), value)
    assert 0 <= low < narrow_low < value < narrow_high < high <= 1


def test_one_group_and_equal_groups_have_no_interval():
    image, text = np.array([[6.0, 2.0]] * 4), np.array([[1.0, 3.0]] * 4)
    assert overlap_interval(image, text, np.zeros(4, dtype=int), 0.5) is None
    assert overlap_interval(image, text, np.arange(4), 0.5) is None


def test_rows_count_first_and_later_choices():
    """Layer 0: image [8, 8] of two choices, text [4, 4]; layer 2: [8, 8] and [4, 4]."""
    for row in rows(record(), None):
        assert (row.overlap, row.balance, row.dead, row.low, row.groups) == (1.0, 1.0, "", None, None)
    counts = {"image": [[[8, 0]]], "text": [[[3, 0]]]}
    (row,) = rows(record(layers=[0], counts=counts), None)
    assert (row.overlap, row.balance, row.dead) == (1.0, 0.0, "1")


def test_layers_may_have_different_numbers_of_experts():
    counts = {"image": [[[6, 2]], [[3, 3, 2]]], "text": [[[1, 3]], [[2, 1, 1]]]}
    choices = {
        "image": [np.array([[4.0, 0.0], [2.0, 2.0]]), np.array([[1.0, 2.0, 1.0], [2.0, 1.0, 1.0]])],
        "text": [np.array([[0.0, 2.0], [1.0, 1.0]]), np.array([[0.0, 1.0, 1.0], [2.0, 0.0, 0.0]])],
    }
    loads = QuestionLoads([{}, {}], np.array([0, 1]), choices)
    found = rows(record(counts=counts), loads)
    assert [row.experts for row in found] == [2, 3]
    assert (found[0].overlap, found[0].groups) == (0.5, 2)
    assert found[0].low < 0.5 < found[0].high
    one_group = rows(record(counts=counts), replace(loads, groups=np.array([0, 0])))
    assert [row.low for row in one_group] == [None, None]
