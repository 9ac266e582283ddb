"""Looks and the width that they cost, and how seldom an interval at any look misses."""

import numpy as np
import pytest

from moe_eval.statistics.sequential import FIRST_LOOK, looks_at, stretch_of


@pytest.mark.parametrize("groups", [2, 30, 31, 500, 10_000])
def test_looks_grow_and_end_with_everything(groups):
    looks = looks_at(groups)
    assert looks[-1] == groups
    assert looks == sorted(set(looks))
    assert looks[0] in (FIRST_LOOK, groups)


def test_one_look_costs_nothing_and_more_cost_more():
    assert stretch_of([100]) == pytest.approx(1, abs=0.01)
    assert 1 < stretch_of(looks_at(100)) < stretch_of(looks_at(10_000)) < 1.6


def test_two_looks_have_pococks_boundary():
    """2.178 for two looks with as many groups each, Pocock 1977, table 1."""
    assert 1.959964 * stretch_of([50, 100]) == pytest.approx(2.178, abs=0.02)


def test_intervals_of_all_looks_hold_the_truth_together():
    looks = looks_at(1_000)
    sums = np.cumsum(np.random.default_rng(1).standard_normal((2_000, looks[-1])), axis=1)[:, np.array(looks) - 1]
    missed = (np.abs(sums) / np.sqrt(looks) > 1.959964 * stretch_of(looks)).any(axis=1)
    assert missed.mean() == pytest.approx(0.05, abs=0.016)
