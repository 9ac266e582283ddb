"""Exact and corrected p-values that need no resampling."""

from collections.abc import Sequence
from math import exp, fsum, lgamma, log

__all__ = ["holm", "mcnemar_exact"]


def mcnemar_exact(won: int, lost: int) -> float:
    """Two-sided p-value of McNemar's exact test: are `won` of `won + lost` discordant pairs more or fewer than half?

    Twice the smaller tail of a binomial with probability 1/2, at most 1.
    Source: McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 1947.
    """
    discordant = won + lost
    tail = fsum(exp(_log_choose(discordant, k) - discordant * log(2)) for k in range(min(won, lost) + 1))
    return min(1.0, 2 * tail)


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected so that the chance of any false alarm among all tests stays below the level.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 1979.
    """
    order = sorted(range(len(p_values)), key=lambda number: p_values[number])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, number in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[number]))
        adjusted[number] = highest
    return adjusted
