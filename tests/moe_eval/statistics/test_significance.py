"""Exact and corrected p-values: known values and laws."""

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_eval.statistics.significance import holm, mcnemar_exact


@pytest.mark.parametrize(
    ("won", "lost", "p_value"),
    [(0, 0, 1.0), (5, 5, 1.0), (10, 2, 0.03857421875), (0, 6, 0.03125), (1, 0, 1.0), (25, 181, 2.2357394851793648e-30)],
)
def test_mcnemar_of_known_tables(won, lost, p_value):
    assert mcnemar_exact(won, lost) == pytest.approx(p_value, rel=1e-9)


@given(won=st.integers(0, 60), lost=st.integers(0, 60))
def test_mcnemar_is_two_binomial_tails(won, lost):
    tail = sum(comb(won + lost, k) for k in range(min(won, lost) + 1)) / 2 ** (won + lost)
    assert mcnemar_exact(won, lost) == mcnemar_exact(lost, won) == pytest.approx(min(1.0, 2 * tail))


def test_mcnemar_of_many_pairs_is_a_number():
    assert 0 < mcnemar_exact(50_000, 50_700) < 0.05


def test_holm_of_a_known_example():
    """Holm's own procedure by hand: 0.01·4, 0.02·3, 0.03·2, 0.04·1, none smaller than the one before."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_only_raises_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    ranks = sorted(range(len(p_values)), key=lambda n: p_values[n])
    assert [adjusted[n] for n in ranks] == sorted(adjusted)
