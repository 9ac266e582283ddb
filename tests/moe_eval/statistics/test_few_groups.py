"""Errors from few groups: corrections with known values, and Wilson's interval."""

from math import inf, sqrt

import numpy as np
import pytest

from moe_eval.statistics.few_groups import Spread, score_interval, spread_of, t_quantile


def mean_influences(values: list[float], sizes: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Influences and deletions of groups with these means and sizes on the mean of all."""
    means, count = np.array(values), np.array(sizes, dtype=float)
    total, mean = count.sum(), (means * count).sum() / count.sum()
    influences = count * (means - mean) / total
    return influences, influences / (1 - count / total), count


def test_equal_groups_have_the_textbook_error():
    """√(Σ (x − x̄)² / (C (C − 1)))."""
    values = [0.2, 0.4, 0.5, 0.9]
    spread = spread_of(*mean_influences(values, [6] * 4))
    assert spread.error == pytest.approx(float(np.std(values, ddof=1)) / sqrt(4))
    assert (spread.groups, spread.questions) == (4, 24)


def test_unequal_groups_have_the_cr2_error():
    """Σ_g (n_g (x_g − x̄) / n)² / (1 − n_g / n)."""
    values, sizes = [0.2, 0.4, 0.9], [2, 3, 15]
    influences, _, count = mean_influences(values, sizes)
    cr2 = sqrt(float((influences**2 / (1 - count / count.sum())).sum()))
    assert spread_of(*mean_influences(values, sizes)).error == pytest.approx(cr2)


def test_one_group_that_erred_leaves_two_degrees_of_freedom():
    spread = spread_of(*mean_influences([1.0] * 199 + [0.0], [1] * 200))
    assert spread.degrees == pytest.approx(2, rel=0.05)


def test_degrees_of_freedom_are_at_most_groups_less_one():
    assert spread_of(*mean_influences([0.0, 1.0] * 5, [1] * 10)).degrees == 9


def test_groups_that_the_number_does_not_look_at_do_not_count():
    influences, deletions, sizes = mean_influences([0.2, 0.4, 0.5], [4] * 3)
    padded = [np.append(array, 0.0) for array in (influences, deletions, sizes)]
    assert spread_of(*padded) == spread_of(influences, deletions, sizes)
    assert spread_of(influences[:1], deletions[:1], sizes[:1]) is None


def test_wilsons_interval_of_the_textbook():
    """8 of 10, z = 1.96: Agresti and Coull 1998 give 0.49 to 0.94."""
    error = sqrt(0.8 * 0.2 / 10)
    low, high = score_interval(0.8, 1.0, Spread(error, inf, 10, 10))
    assert (low, high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert t_quantile(inf) == pytest.approx(1.959964)


def test_the_design_effect_of_copies_is_how_often_they_stand_there():
    values = [1.0, 0.0, 1.0, 1.0] * 50
    spread = spread_of(*mean_influences(values, [3] * 200))
    assert spread.design_effect(75.0, 100.0) is not None
    assert Spread(100 * spread.error, spread.degrees, 200, 600).design_effect(75.0, 100.0) == pytest.approx(3, rel=0.01)
