"""Exact and corrected p-values that need no resampling."""

from collections.abc import Sequence

__all__ = ["holm", "mcnemar_exact"]


def mcnemar_exact(won: int, lost: int) -> float:
    """Two-sided p-value of McNemar's exact test: are `won` of `won + lost` discordant pairs more or fewer than half?

    Twice the smaller tail of a binomial with probability 1/2, at most 1.
    Source: McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 1947.
    """
    discordant = won + lost
    term = tail = 1
    for drawn in range(min(won, lost)):
        term = term * (discordant - drawn) // (drawn + 1)
        tail += term
    return min(1.0, (tail << 1) / (1 << discordant)) if discordant else 1.0


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
