"""How much a label of a question says about what was counted in it: mutual information, and what chance makes of it.

Questions about one picture have much in common, so chance is not that of the counts. Labels are dealt anew among the
questions of each group, and the sets of labels among groups of as many questions; neither a group's questions nor what was
counted in them are torn apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from moe_eval.statistics.resampling import Clusters

__all__ = ["Association", "associations", "mutual_information"]

PERMUTATIONS = 999
"""The smallest p-value is 1 / (PERMUTATIONS + 1)."""

AT_ONCE = 27
"""Deals that are counted together; a divisor of PERMUTATIONS."""

TINY = 1e-12


@dataclass(frozen=True)
class Association:
    """Between labels and counts.

    Args:
        bits: mutual information as counted; never negative, and above 0 by chance alone.
        chance: its mean over labels dealt anew; `bits - chance` is corrected for chance, and may be negative.
        p_value: how often labels dealt anew say as much, the observed ones among them. 1 where no deal differs.
    """

    bits: float
    chance: float
    p_value: float


def mutual_information(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """In bits, [...], of tables [..., T, E] of counts; 0 of an empty one."""
    total = tables.sum((-2, -1))
    entropies = _sum_of_logarithms(tables.sum(-1)) + _sum_of_logarithms(tables.sum(-2)) - xlogy(total, total)
    joint = xlogy(tables, tables).sum((-2, -1))
    return np.maximum((joint - entropies) / (np.maximum(total, 1) * np.log(2)), 0.0)


def _sum_of_logarithms(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(xlogy(counts, counts).sum(-1))


def associations(
    labels: NDArray[np.intp], groups: Clusters, counts: Sequence[NDArray[np.float64]], seed: int = 0
) -> list[Association]:
    """Labels against each of several counts of the same Q questions, with the same deals of labels.

    Args:
        labels: [Q], from 0.
        groups: [Q], the number of the picture that a question is about.
        counts: each [Q, E].

    Source of the p-value: Phipson and Smyth, Permutation p-values should never be zero, 2010.
    """
    generator = np.random.default_rng(seed)
    ends = np.cumsum([of.shape[1] for of in counts])[:-1]
    together = np.concatenate(counts, axis=1)  # [Q, sum of E]
    marks = np.eye(labels.max() + 1)
    blocks = _equal_groups(groups)

    def bits(deals: Sequence[NDArray[np.intp]]) -> NDArray[np.float64]:
        rows = marks[np.stack(deals)].transpose(0, 2, 1).reshape(-1, len(labels))  # [deals · T, Q]
        tables = (rows @ together).reshape(len(deals), len(marks), -1)  # [deals, T, sum of E]
        return np.stack([mutual_information(table) for table in np.split(tables, ends, axis=2)], axis=1)

    (observed,) = bits([labels])
    dealt = np.concatenate(
        [bits([_deal(labels, blocks, generator) for _ in range(AT_ONCE)]) for _ in range(PERMUTATIONS // AT_ONCE)]
    )
    as_much = (dealt >= observed - TINY).sum(0)
    p_values = (1 + as_much) / (1 + PERMUTATIONS)
    numbers = zip(observed.tolist(), dealt.mean(0).tolist(), p_values.tolist(), strict=True)
    return [Association(*three) for three in numbers]


def _equal_groups(groups: Clusters) -> list[NDArray[np.intp]]:
    """Places of the questions: for each size s of a group that occurs, [groups of that size, s]."""
    sizes = np.bincount(groups)
    places = np.split(np.argsort(groups, kind="stable"), np.cumsum(sizes)[:-1])
    return [np.stack([one for one in places if len(one) == size]) for size in np.unique(sizes[sizes > 0])]


def _deal(
    labels: NDArray[np.intp], blocks: Sequence[NDArray[np.intp]], generator: np.random.Generator
) -> NDArray[np.intp]:
    dealt = np.empty_like(labels)
    for block in blocks:
        dealt[block] = labels[generator.permuted(generator.permutation(block), axis=1)]
    return dealt
