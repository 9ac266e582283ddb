"""Broken axes: which stretches are drawn short, and that the scale is one to one elsewhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_eval.figures.breaks import DRAWN, broken_scale

NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)


def scale_of(*values: float):
    return broken_scale([(value, value) for value in values])


def test_a_lone_point_is_beyond_a_break():
    scale = scale_of(1, 2, 3, 4, 5, 40)
    assert (scale.breaks, scale.segments) == (((5, 40),), ((1, 5), (40, 40)))
    assert scale.forward(40) == pytest.approx(5 + DRAWN * 4)


def test_points_on_both_sides_are():
    assert scale_of(-90, *range(10), 90).breaks == ((-90, 0), (9, 90))


@pytest.mark.parametrize("values", [(1, 2, 3, 4, 5.5), (1, 2, 3, 40), (5, 5, 5, 5, 5, 9), (1, 2, 3, 60, 70, 80)])
def test_nothing_is_broken_where_points_are_few_equal_or_in_two_halves(values):
    scale = scale_of(*values)
    assert scale.breaks == ()
    assert scale.forward(2.5) == 2.5


def test_an_interval_keeps_its_stretch_whole():
    assert broken_scale([*((value, value) for value in range(8)), (7.5, 40)]).breaks == ()


@given(st.lists(NUMBERS, min_size=1, max_size=30), st.lists(NUMBERS, min_size=2, max_size=20))
def test_the_scale_keeps_the_order_and_can_be_inverted(values, probes):
    scale = scale_of(*values)
    probes = np.sort(np.array(probes))
    placed = scale.forward(probes)
    assert (np.diff(placed) >= 0).all()
    if scale.drawn > 1e-3 or not scale.breaks:
        assert scale.inverse(placed) == pytest.approx(probes, rel=1e-3, abs=1e-3 * (1 + np.ptp(values)))
