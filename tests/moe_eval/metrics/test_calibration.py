"""Calibration: by hand, and laws."""

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_eval.metrics.calibration import expected_calibration_error, probabilities, with_calibration
from moe_eval.metrics.likelihood import is_yes
from moe_eval.metrics.totals import Scores
from moe_eval.task import Result


def scored(*pairs):
    return Scores([{"p_yes": p, "gold": gold, "correct": int((p > 0.5) == (gold == "yes"))} for p, gold in pairs])


def test_by_hand():
    """Bin 0.8 to 0.9: mean 0.85, half is so; bin 0.1 to 0.2: 0.1, none is. (2 * 0.35 + 2 * 0.1) / 4."""
    scores = scored((0.81, "yes"), (0.89, "no"), (0.1, "no"), (0.1, "no"))
    assert expected_calibration_error(scores, "p_yes", is_yes) == pytest.approx(22.5)


def test_certain_and_right_is_no_error():
    assert expected_calibration_error(scored((1.0, "yes"), (0.0, "no")), "p_yes", is_yes) == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from(["yes", "no"])), min_size=1))
def test_it_is_a_share(pairs):
    assert 0 <= expected_calibration_error(scored(*pairs), "p_yes", is_yes) <= 100 + 1e-9


@given(st.lists(st.floats(-700, 0), min_size=1, max_size=5))
def test_probabilities_add_up_and_keep_their_order(values):
    shares = probabilities({str(number): value for number, value in enumerate(values)})
    assert sum(shares.values()) == pytest.approx(1)
    assert shares[str(values.index(max(values)))] == max(shares.values())


def test_probabilities_of_unequal_ones():
    assert probabilities({"Yes": log(0.03), "No": log(0.01)}) == pytest.approx({"Yes": 0.75, "No": 0.25})


def test_answers_without_probabilities_have_no_calibration():
    aggregate = with_calibration(lambda scores: Result(1.0, {}), "p_yes", is_yes)
    assert aggregate([{"gold": "yes", "correct": 1}]).metrics == {}
    assert aggregate(list(scored((1.0, "no")))).metrics == {"ece": 100}
