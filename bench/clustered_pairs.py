"""Pairs of runs whose questions hang together, and how often `compare` and `check` are right about them; for `bench.decisions`.

The rules are the library's (`moe_eval.statistics.paired`, `moe_eval.comparison.gate`), for many data sets at a time; a test
holds them to what the library says of one.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.coverage import draw_groups, linearised
from bench.worlds import GROUPS, WORLDS, World
from moe_eval.comparison.gate import LEVEL, Verdict, decide
from moe_eval.statistics.draws import SEED
from moe_eval.statistics.few_groups import few_groups_factor
from moe_eval.statistics.intervals import percentile_interval, widened
from moe_eval.statistics.paired import CLOSE, how_many_extreme, random_swaps
from moe_eval.statistics.resampling import Recording, draw_weights, looked_at, number_clusters, record_totals
from moe_eval.statistics.significance import mcnemar_exact
from moe_eval.task import SampleScore

__all__ = ["DRAWS", "OWN", "RIGHT", "TOLERANCE", "Decisions", "Pairs", "clustered_cells", "decisions", "pairs"]

DRAWS = 400
"""Permutations and resamples of each pair of runs, instead of 10,000."""

RIGHT = 0.8
"""How often the first model is right."""

OWN = 0.3
"""Share of the questions on which the second model has luck of its own; it answers the others as the first does."""

TOLERANCE = 3.0

CLUSTERED = ("pictures, 18 questions", "macro-average of 5 categories", "MME, perception", "MMBench, circular")
SIZES = (30, 300)
"""Groups."""

BLOCK = 4_000_000
"""Numbers held at a time."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """Two models on one population.

    Args:
        world: the population, with the first model's scores.
        first, second: the totals of each model's scores, by group.
        changed: [C, 2], how many answers of each group the second model won and lost.
    """

    world: World
    first: Recording
    second: Recording
    changed: NDArray[np.intp]

    @property
    def drop(self) -> float:
        """The truth: first minus second, in percent of the maximum."""
        numbers = [float(one.result.headline or 0.0) for one in (self.first, self.second)]
        return 100 * (numbers[0] - numbers[1]) / self.world.maximum


@dataclass(frozen=True)
class Decisions:
    """What is said of S data sets, in percent of the headline's maximum: second minus first, its interval, p-values, verdicts."""

    values: Array
    lows: Array
    highs: Array
    p_values: Array
    verdicts: Sequence[Verdict]


def pairs(name: str, drop: float) -> Pairs:
    """Two models of which the second is worse by about `drop`; by exactly 0, every pair of groups has its mirror image."""
    first, other = (
        WORLDS[name](random.Random(f"{name} {which}"), level)
        for which, level in (("first", RIGHT), ("second", RIGHT - drop / OWN))
    )
    generator = random.Random(f"{name} {drop}")
    own: dict[object, bool] = {}
    ours = list(first.scores)
    theirs = [
        # MMBench's rotations are right together, or not.
        otherwise if own.setdefault(score.get("question", place), generator.random() < OWN) else score
        for place, (score, otherwise) in enumerate(zip(ours, other.scores, strict=True))
    ]
    if not drop:
        ours, theirs = [*ours, *map(_mirrored, theirs)], [*theirs, *map(_mirrored, ours)]
    clusters = number_clusters([score["group"] for score in ours])
    recordings = [record_totals(first.aggregate, scores, clusters) for scores in (ours, theirs)]
    assert recordings[0].selections == recordings[1].selections  # otherwise `paired_test` is of the mean worth
    gains = np.array([float(their["correct"]) - float(our["correct"]) for our, their in zip(ours, theirs, strict=True)])
    changed = np.stack([np.bincount(clusters, weights=gains == sign) for sign in (1, -1)], axis=1).astype(np.intp)
    world = World(first.aggregate, first.maximum, ours, first.stratified)
    return Pairs(world, recordings[0], recordings[1], changed)


def _mirrored(score: SampleScore) -> SampleScore:
    again = {**score, "group": f"{score['group']} mirrored"}
    if "picture" in score:
        again["picture"] = f"{score['picture']} mirrored"
    if "question" in score:
        again["question"] = int(score["question"]) + GROUPS
    return again


def decisions(pair: Pairs, chosen: NDArray[np.intp]) -> Decisions:
    """What `compare` and `check --tolerance 3` say of data sets.

    Args:
        chosen: the groups of each, [S, C].
    """
    groups, scale = chosen.shape[1], 100 / pair.world.maximum
    (weights,) = draw_weights(groups, DRAWS, SEED)
    (swaps,) = random_swaps(groups, DRAWS, SEED)
    ours, theirs = pair.first.columns[chosen], pair.second.columns[chosen]  # [S, C, K]
    values, influences, lost = (
        scale * (second - first)
        for first, second in zip(linearised(pair.first, chosen), linearised(pair.second, chosen), strict=True)
    )
    drawn = scale * (_headline(pair.second, weights @ theirs) - _headline(pair.first, weights @ ours))  # [S, R]
    moved = swaps @ (theirs - ours)
    swapped = scale * (
        _headline(pair.second, theirs.sum(axis=1)[:, None] - moved)
        - _headline(pair.first, ours.sum(axis=1)[:, None] + moved)
    )
    sizes = looked_at(pair.second)["headline"][chosen]
    won, lost_answers = pair.changed[chosen].sum(axis=1).T
    # One question a group, and as many of each category: the headline is a mean, and McNemar's test is the one that fits.
    alone = len(pair.world.scores) == len(pair.first.columns)
    p_values = np.array(
        [
            mcnemar_exact(int(more), int(less)) if alone else (how_many_extreme(value, some) + 1) / (DRAWS + 1)
            for more, less, value, some in zip(won, lost_answers, values, swapped, strict=True)
        ]
    )
    ends = np.array(
        [
            _interval(float(value), draws, few_groups_factor(groups, *rest))
            for value, draws, *rest in zip(values, drawn, influences, lost, sizes, strict=True)
        ]
    )
    verdicts = [
        decide(float(value), None if np.isnan(low) else float(low), float(p_value), bool(flips), TOLERANCE)
        for value, low, p_value, flips in zip(values, ends[:, 0], p_values, won + lost_answers, strict=True)
    ]
    return Decisions(values, ends[:, 0], ends[:, 1], p_values, verdicts)


def _headline(recording: Recording, totals: Array) -> Array:
    """Of totals [S, R, K]: [S, R]."""
    flat = totals.reshape(-1, totals.shape[-1])
    return recording.numbers(flat)["headline"].reshape(totals.shape[:-1])


def _interval(value: float, draws: Array, factor: float) -> tuple[float, float]:
    """Not numbers where the draws do not tell."""
    bounds = percentile_interval(draws)
    if bounds is None or bounds[0] == bounds[1]:
        return float("nan"), float("nan")
    return widened(bounds[:2], value, factor)


def clustered_cells(simulations: int) -> Iterator[dict[str, Any]]:
    """A row for each population, number of groups and drop."""
    for name in CLUSTERED:
        for drop in (0.0, 0.05):
            pair = pairs(name, drop)
            for groups in SIZES:
                generator = np.random.default_rng([groups, round(100 * drop)])
                chosen = draw_groups(pair.world, pair.first, groups, simulations, generator)
                assert chosen is not None
                yield {"world": name, "groups": groups, **_row(pair, chosen)}


def _row(pair: Pairs, chosen: NDArray[np.intp]) -> dict[str, Any]:
    simulations, groups = chosen.shape
    at_once = max(1, BLOCK // (max(groups, DRAWS) * pair.first.columns.shape[1]))
    parts = [decisions(pair, chosen[start : start + at_once]) for start in range(0, simulations, at_once)]
    values, lows, highs, p_values = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("values", "lows", "highs", "p_values")
    )
    # Where there is no interval, the difference alone has to be the truth.
    lows, highs = np.where(np.isnan(lows), values, lows), np.where(np.isnan(highs), values, highs)
    covered = (lows - CLOSE <= -pair.drop) & (-pair.drop <= highs + CLOSE)
    said = Counter(verdict for part in parts for verdict in part.verdicts)
    shares = {verdict.words: round(100 * said[verdict] / simulations, 2) for verdict in Verdict}
    return {
        "drop": round(pair.drop, 2),
        "significant": round(100 * float((p_values < LEVEL).mean()), 2),
        "coverage": round(100 * float(covered.mean()), 2),
        **shares,
    }
