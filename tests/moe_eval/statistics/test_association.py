"""Mutual information is what the textbook says, and chance is that of whole groups of questions."""

import numpy as np
import pytest

from moe_eval.statistics.association import associations, mutual_information


@pytest.mark.parametrize(
    ("table", "bits"),
    [
        ([[5, 0], [0, 5]], 1.0),
        ([[3, 6], [1, 2]], 0.0),
        ([[0, 0], [0, 0]], 0.0),
        ([[1, 1, 0, 0], [0, 0, 1, 1]], 1.0),
        ([[3, 1], [1, 3]], 1 + 0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)),  # 1 − H(1/4)
    ],
)
def test_bits_of_a_table(table, bits):
    assert mutual_information(np.array(table, dtype=float)) == pytest.approx(bits, abs=1e-12)


def test_a_label_that_decides_the_expert_is_no_chance():
    """Twelve groups of two questions, one of each label."""
    labels, groups = np.tile([0, 1], 12), np.repeat(np.arange(12), 2)
    (decided, constant) = associations(labels, groups, [np.eye(2)[labels], np.ones((24, 3))])
    assert decided.bits == pytest.approx(1.0)
    assert decided.p_value == 0.001
    assert decided.chance < 0.2
    assert (constant.bits, constant.p_value) == (pytest.approx(0.0, abs=1e-12), 1.0)


def test_what_a_picture_decides_is_one_picture_s_worth():
    """Four groups of fifty questions with a label and an expert each: among groups, one deal in three is as good."""
    labels, groups = np.repeat([0, 0, 1, 1], 50), np.repeat(np.arange(4), 50)
    (one,) = associations(labels, groups, [np.eye(2)[labels]])
    assert one.bits == pytest.approx(1.0)
    assert one.p_value == pytest.approx(1 / 3, abs=0.05)


def test_labels_of_noise_say_as_much_as_chance():
    generator = np.random.default_rng(7)
    counts = generator.poisson(4.0, (200, 4)).astype(float)
    labels, groups = generator.integers(0, 4, 200), np.arange(200) // 5
    (one,) = associations(labels, groups, [counts])
    assert one.bits > 0
    assert one.bits - one.chance == pytest.approx(0, abs=one.chance)
    assert one.p_value > 0.05


def test_labels_that_cannot_move_show_nothing():
    """Two groups of different sizes, each with one label."""
    labels = np.array([0, 0, 1, 1, 1])
    (one,) = associations(labels, labels, [np.eye(2)[labels]])
    assert one.bits == pytest.approx(one.chance) == pytest.approx(0.971, abs=1e-3)
    assert one.p_value == 1
