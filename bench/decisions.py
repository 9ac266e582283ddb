"""How often `compare` finds a difference that is there, and `check` cries wolf, on made-up pairs of runs with known truth."""

import random
from typing import Any

from bench.worlds import accuracy
from moe_eval.comparison.gate import LEVEL, Verdict, decide
from moe_eval.statistics.paired import PairedScores, differences, paired_test

__all__ = ["check_cells", "compare_cells"]

DRAWS = 500
"""Permutations and resamples of each pair of runs, instead of 10,000."""

RIGHT = 0.8
SHARED = 0.7
"""Share of the questions that both models answer right, or both wrong, together."""

TOLERANCE = 3.0

SIZES = ((30, 1), (100, 1), (10, 18), (300, 1), (30, 18), (1_000, 1), (100, 18))
"""Groups, and questions in each."""


def pair(generator: random.Random, groups: int, members: int, drop: float) -> PairedScores:
    """Two models that are right four times out of five, the second less often by `drop`; half of each picture's luck is shared."""
    first, second, names = [], [], []
    for group in range(groups):
        picture = generator.betavariate(9 * RIGHT, 9 * (1 - RIGHT))
        for _ in range(members):
            luck = generator.random()
            own = luck if generator.random() < SHARED else generator.random()
            first.append({"correct": int(luck < picture)})
            second.append({"correct": int(own < picture and generator.random() >= drop / RIGHT)})
            names.append(str(group))
    return PairedScores(first, second, names, (accuracy, accuracy))


def compare_cells(simulations: int) -> list[dict[str, Any]]:
    """How often the test of `compare` is significant: false alarms where there is no difference, power where there is."""
    rows = []
    for groups, members in SIZES:
        for drop in (0.0, 0.05, 0.1):
            generator = random.Random(f"compare {groups} {members} {drop}")
            pairs = (pair(generator, groups, members, drop) for _ in range(simulations))
            found = sum(paired_test(one, DRAWS).p_value < LEVEL for one in pairs)
            rows.append(
                {
                    "groups": groups,
                    "questions": groups * members,
                    "drop": 100 * drop,
                    "significant": 100 * found / simulations,
                }
            )
            print("compare", rows[-1], flush=True)
    return rows


def check_cells(simulations: int) -> list[dict[str, Any]]:
    """What `check` says at a tolerance of 3 points, by the drop that is really there."""
    rows = []
    for groups, members in SIZES:
        for drop in (0.0, 0.05, 0.1):
            generator = random.Random(f"check {groups} {members} {drop}")
            verdicts = [_verdict(pair(generator, groups, members, drop)) for _ in range(simulations)]
            said = {verdict.words: 100 * verdicts.count(verdict) / simulations for verdict in Verdict}
            rows.append({"groups": groups, "questions": groups * members, "drop": 100 * drop, **said})
            print("check", rows[-1], flush=True)
    return rows


def _verdict(one: PairedScores) -> Verdict:
    difference = differences(one, resamples=DRAWS)["headline"]
    test = paired_test(one, DRAWS)
    return decide(difference.value, difference.low, test.p_value, bool(test.won or test.lost), TOLERANCE)
