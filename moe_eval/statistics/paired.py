"""Two runs on the same questions: the difference of their numbers, how sure it is, and whether it may be chance."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isclose, isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

from moe_eval.metrics.means import percent
from moe_eval.metrics.totals import OfTotals
from moe_eval.statistics.draws import RESAMPLES, SEED, Resampled, resample_scores
from moe_eval.statistics.few_groups import few_groups_factor
from moe_eval.statistics.intervals import detectable, percentile_interval, widened
from moe_eval.statistics.resampling import BLOCK, number_clusters, numbers_of, record_totals, replay
from moe_eval.statistics.significance import mcnemar_exact
from moe_eval.task import Result, SampleScore, worth

__all__ = [
    "CLOSE",
    "Difference",
    "PairedScores",
    "PairedTest",
    "differences",
    "how_many_extreme",
    "paired_test",
    "random_swaps",
    "swapped_differences",
]

Aggregate = Callable[[Sequence[SampleScore]], Result]

MCNEMAR = "McNemar, exact"
PERMUTATION = "permutation of whole groups"
PERMUTATION_OF_MEAN = "permutation of whole groups, of the mean worth"

CLOSE = 1e-9


@dataclass(frozen=True)
class PairedScores:
    """Scores of two runs, in the same order of samples.

    Args:
        first, second: the stored scores of each run.
        groups: of each sample, what is drawn as a whole.
        aggregates: what gives the numbers of the first and of the second; mostly the same.
    """

    first: Sequence[SampleScore]
    second: Sequence[SampleScore]
    groups: Sequence[str]
    aggregates: tuple[Aggregate, Aggregate]


@dataclass(frozen=True)
class Difference:
    """Second minus first, in the number's own units.

    Args:
        low, high: of the 95 % interval, from a bootstrap that draws the same groups for both runs; None where the data do
            not tell.
        standard_error: of that bootstrap.
        analytic_standard_error: clustered, by linearisation.
        detectable: the difference that would be found significant with 80 % power, paired as here.
    """

    first: float
    second: float
    value: float
    low: float | None
    high: float | None
    standard_error: float | None
    analytic_standard_error: float | None
    detectable: float | None


@dataclass(frozen=True)
class PairedTest:
    """Whether the second run's answers differ from the first's by more than chance.

    Args:
        won, lost, tied: answers on which the second run did better, worse, as well.
        mcnemar: exact p-value; None where answers are not right or wrong.
        permutation: p-value of swapping the runs' answers group by group; of the headline where `test` says nothing else.
        test: the one that fits, see `paired_test`.
        p_value: of that test.
    """

    won: int
    lost: int
    tied: int
    mcnemar: float | None
    permutation: float
    test: str
    p_value: float


def differences(pair: PairedScores, resamples: int = RESAMPLES, seed: int = SEED) -> dict[str, Difference]:
    """The difference of each number that both have, by path."""
    first, second = (
        resample_scores(aggregate, scores, pair.groups, resamples, seed)
        for aggregate, scores in zip(pair.aggregates, (pair.first, pair.second), strict=True)
    )
    if first is None or second is None:
        first, second = (
            Resampled("clustered bootstrap", numbers_of(aggregate(scores)), {}, {}, {}, {}, clusters=1, resamples=0)
            for aggregate, scores in zip(pair.aggregates, (pair.first, pair.second), strict=True)
        )
    return {
        path: _difference(first, second, path)
        for path, value in first.numbers.items()
        if isinstance(value, float) and isinstance(second.numbers.get(path), float)
    }


def _difference(first: Resampled, second: Resampled, path: str) -> Difference:
    ours, theirs = first.numbers[path], second.numbers[path]
    influences = lost = analytic = bounds = None
    if path in first.influences and path in second.influences:
        influences = second.influences[path] - first.influences[path]
        lost = second.deletions[path] - first.deletions[path]
        error = sqrt(float(np.sum(influences**2)))
        analytic = error if isfinite(error) else None
    if path in first.draws and path in second.draws and first.resamples == second.resamples:
        bounds = percentile_interval(second.draws[path] - first.draws[path])
    if bounds and bounds[0] == bounds[1]:  # the same in every draw: that does not tell how sure it is
        bounds = None
    if bounds:
        factor = few_groups_factor(first.clusters, influences, lost, second.looked_at.get(path))
        bounds = (*widened(bounds[:2], theirs - ours, factor), bounds[2])
    low, high, standard_error = bounds or (None, None, None)
    return Difference(
        first=ours,
        second=theirs,
        value=theirs - ours,
        low=low,
        high=high,
        standard_error=standard_error,
        analytic_standard_error=analytic,
        detectable=None if standard_error is None else detectable(standard_error),
    )


def paired_test(pair: PairedScores, permutations: int = RESAMPLES, seed: int = SEED) -> PairedTest:
    """Wins, losses, and the p-values of McNemar's exact test and of a permutation test of whole groups.

    The permutation test swaps the two runs' answers to all questions of a group, for each group by the throw of a coin, and
    looks how often the headlines then differ by at least as much as they do. It needs no other assumption than that groups
    are independent. McNemar's test is the same test in closed form where each group is one question, answers are right or
    wrong, and the headline is their mean: there it is the one that fits; elsewhere it takes questions about one picture for
    independent, and is beside it for information.

    Raises:
        ValueError: for scores that do not say what an answer is worth.
    """
    ours, theirs = _worths(pair.first), _worths(pair.second)
    won, lost = int((theirs - ours > CLOSE).sum()), int((ours - theirs > CLOSE).sum())
    binary = bool(np.isin(ours, (0, 1)).all() and np.isin(theirs, (0, 1)).all())
    mcnemar = mcnemar_exact(won, lost) if binary else None
    test, permutation = _permutation(pair, permutations, seed)
    independent = len(set(pair.groups)) == len(pair.groups)
    if mcnemar is not None and independent and _is_mean(pair, ours):
        test = MCNEMAR
    p_value = mcnemar if mcnemar is not None and test == MCNEMAR else permutation
    return PairedTest(won, lost, len(ours) - won - lost, mcnemar, permutation, test, p_value)


def _worths(scores: Sequence[SampleScore]) -> NDArray[np.float64]:
    values = [worth(score) for score in scores]
    if any(value is None for value in values):
        raise ValueError("what an answer is worth is not known")
    return np.array(values, dtype=float)


def _is_mean(pair: PairedScores, worths: NDArray[np.float64]) -> bool:
    headline = pair.aggregates[0](pair.first).headline
    return headline is not None and any(isclose(headline, scale * worths.mean(), rel_tol=1e-9) for scale in (1, 100))


def _permutation(pair: PairedScores, permutations: int, seed: int) -> tuple[str, float]:
    """The name of the test and its p-value; exact where there are few groups."""
    size = len(set(pair.groups))
    exact = 2**size <= permutations
    swaps = _all_swaps(size) if exact else random_swaps(size, permutations, seed)
    observed, swapped, of_headline = _swapped(pair, swaps)
    extreme = how_many_extreme(observed, swapped)
    p_value = extreme / len(swapped) if exact else (extreme + 1) / (len(swapped) + 1)
    return PERMUTATION if of_headline else PERMUTATION_OF_MEAN, p_value


def how_many_extreme(observed: float, swapped: NDArray[np.float64]) -> int:
    """How many differences are at least as large as the observed one.

    The same difference may come out of another order of additions a little smaller.
    """
    return int((np.abs(swapped) >= abs(observed) - CLOSE * max(1.0, abs(observed))).sum())


def swapped_differences(
    pair: PairedScores, maximum: float, permutations: int = RESAMPLES, seed: int = SEED
) -> tuple[float, NDArray[np.float64]]:
    """The difference of the headlines, second minus first, and what it is where groups are swapped at random.

    Args:
        maximum: of the headline.

    Returns:
        Both in percent of the maximum; of the mean worth, where the permutation test is of that.
    """
    observed, swapped, of_headline = _swapped(pair, random_swaps(len(set(pair.groups)), permutations, seed))
    scale = 100 / maximum if of_headline else 1.0
    return scale * observed, scale * swapped


def _swapped(pair: PairedScores, swaps: Iterator[NDArray[np.float64]]) -> tuple[float, NDArray[np.float64], bool]:
    """Observed difference, those after swapping, and whether they are of the headline rather than of the mean worth."""
    clusters = number_clusters(pair.groups)
    of_headline = all(isinstance(aggregate, OfTotals) for aggregate in pair.aggregates)
    aggregates = pair.aggregates if of_headline else (_MEAN_WORTH, _MEAN_WORTH)
    first, second = (
        record_totals(aggregate, scores, clusters)  # type: ignore[arg-type]
        for aggregate, scores in zip(aggregates, (pair.first, pair.second), strict=True)
    )
    if first.selections != second.selections:  # totals over other answers in one run than in the other
        of_headline = False
        first, second = (record_totals(_MEAN_WORTH, scores, clusters) for scores in (pair.first, pair.second))
    gain = second.columns - first.columns
    swapping = [block @ gain for block in swaps]
    ours = replay(first, (first.columns.sum(axis=0) + moved for moved in swapping))["headline"]
    theirs = replay(second, (second.columns.sum(axis=0) - moved for moved in swapping))["headline"]
    observed = float(second.result.headline or 0) - float(first.result.headline or 0)
    return observed, theirs - ours, of_headline


_MEAN_WORTH = OfTotals(lambda rows: Result(percent(rows, lambda score: worth(score) or 0.0), {}))


def _all_swaps(clusters: int) -> Iterator[NDArray[np.float64]]:
    """All 2^C ways to swap, [2^C, C] of 0 and 1."""
    yield ((np.arange(2**clusters)[:, None] >> np.arange(clusters)) & 1).astype(float)


def random_swaps(clusters: int, permutations: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Which groups are swapped, at random: blocks [r, C] of 0 and 1, as many rows as permutations."""
    generator = np.random.default_rng(seed)
    rows = max(1, BLOCK // clusters)
    for start in range(0, permutations, rows):
        size = (min(rows, permutations - start), clusters)
        yield generator.integers(0, 2, size, dtype=np.uint8).astype(float)
