"""How often `compare` finds what is there, `check` cries wolf and `--until` stops at a wrong place: `python -m bench.decisions`.

Pairs of runs are drawn with a known difference and go through the library's own tests, intervals and verdicts.
"""

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from bench.clustered_pairs import DRAWS, OWN, RIGHT, TOLERANCE, clustered_cells
from bench.worlds import CORRELATION
from moe_eval.comparison.gate import LEVEL, Verdict, decide
from moe_eval.files.atomic import write_atomically
from moe_eval.metrics.means import percent
from moe_eval.metrics.totals import Scores, of_totals
from moe_eval.statistics.few_groups import score_interval, spread_of
from moe_eval.statistics.intervals import widened
from moe_eval.statistics.paired import PairedScores, differences, paired_test
from moe_eval.statistics.sequential import looks_at, stretch_of
from moe_eval.task import Result, SampleScore

SIMULATIONS = 2_000

SIZES = ((30, 1), (300, 1))
"""Groups, and questions in each."""


@of_totals
def accuracy(scores: Scores[SampleScore]) -> Result:
    return Result(percent(scores, "score"), {})


def pair(generator: np.random.Generator, groups: int, members: int, drop: float) -> PairedScores:
    """Two models that are right four times out of five, the second less often by `drop`; a score is a picture's share."""
    spread = 1 / CORRELATION - 1
    chance = generator.beta(spread * RIGHT, spread * (1 - RIGHT), groups)[:, None] if members > 1 else RIGHT
    luck, own = generator.random((2, groups, members))
    second_luck = np.where(generator.random((groups, members)) < OWN, own, luck)
    kept = generator.random((groups, members)) >= drop / RIGHT
    shares = ((luck < chance).mean(axis=1), ((second_luck < chance) & kept).mean(axis=1))
    first, second = ([{"score": float(share)} for share in model] for model in shares)
    return PairedScores(first, second, [str(group) for group in range(groups)], (accuracy, accuracy))


def pair_cells(simulations: int) -> list[dict[str, Any]]:
    """How often `compare` is significant and its interval holds the truth, and what `check` says at a tolerance of 3 points."""
    rows = []
    for groups, members in SIZES:
        for drop in (0.0, 0.05):
            generator = np.random.default_rng([groups, members, round(100 * drop)])
            said: Counter[Verdict] = Counter()
            significant = covered = 0
            for _ in range(simulations):
                one = pair(generator, groups, members, drop)
                difference, test = differences(one, DRAWS)["headline"], paired_test(one, DRAWS)
                low, high = (difference.value if end is None else end for end in (difference.low, difference.high))
                significant += test.p_value < LEVEL
                covered += low - 1e-9 <= -100 * drop <= high + 1e-9
                said[
                    decide(difference.value, difference.low, test.p_value, bool(test.won or test.lost), TOLERANCE)
                ] += 1
            shares = {verdict.words: 100 * said[verdict] / simulations for verdict in Verdict}
            row = {"groups": groups, "questions": groups * members, "drop": 100 * drop}
            rows.append(
                {
                    **row,
                    "significant": 100 * significant / simulations,
                    "coverage": 100 * covered / simulations,
                    **shares,
                }
            )
            print("compare, check", rows[-1], flush=True)
    return rows


def until_cells(simulations: int) -> list[dict[str, Any]]:
    """Where `--until` stops among 2,000 pictures of 18 questions, and how often the interval then holds the truth."""
    looks, rows = looks_at(2_000), []
    stretch = stretch_of(looks)
    for right in (0.6, 0.8, 0.95):
        for wanted in (1.0, 2.0, 4.0):
            generator = np.random.default_rng([round(100 * right), round(wanted)])
            covered, asked = 0, []
            for _ in range(simulations):
                spread = 1 / CORRELATION - 1
                shares = generator.binomial(18, generator.beta(spread * right, spread * (1 - right), looks[-1])) / 18
                for look in looks:
                    low, high = _interval(shares[:look], stretch)
                    if (high - low) / 2 <= wanted:
                        break
                covered += low <= 100 * right <= high
                asked.append(look)
            row = {"right": 100 * right, "half_width": wanted, "coverage": 100 * covered / simulations}
            rows.append({**row, "pictures_asked": float(np.mean(asked)), "of": looks[-1]})
            print("until", rows[-1], flush=True)
    return rows


def _interval(shares: np.ndarray, stretch: float) -> tuple[float, float]:
    """Of the mean in percent, by the influences that the library takes of it."""
    mean, count = shares.mean(), len(shares)
    influences = 100 * (shares - mean) / count
    spread = spread_of(influences, influences * count / (count - 1), np.full(count, 18.0))
    assert spread
    return score_interval(100 * mean, 100.0, spread, stretch)


def until_decided_cells(simulations: int) -> list[dict[str, Any]]:
    """How often `--until decided` takes models for different that are not, or finds that they are, with 100 pictures at most."""
    looks, rows = looks_at(100), []
    stretch = stretch_of(looks)
    for drop in (0.0, 0.1):
        generator = np.random.default_rng([100, round(100 * drop)])
        decided, asked = 0, []
        for _ in range(simulations):
            whole = pair(generator, looks[-1], 18, drop)
            for look in looks:
                some = PairedScores(whole.first[:look], whole.second[:look], whole.groups[:look], whole.aggregates)
                found = differences(some, DRAWS)["headline"]
                if found.low is None or found.high is None:
                    continue
                low, high = widened((found.low, found.high), found.value, stretch)
                if low > 0 or high < 0:
                    decided += 1
                    break
            asked.append(look)
        row = {"drop": 100 * drop, "decided": 100 * decided / simulations}
        rows.append({**row, "pictures_asked": float(np.mean(asked)), "of": looks[-1]})
        print("until decided", rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=SIMULATIONS, help="a cell")
    parser.add_argument("--out", type=Path, help="file for the numbers")
    options = parser.parse_args()
    start = time.process_time()
    record: dict[str, Any] = {
        "simulations": options.simulations,
        "until": until_cells(options.simulations),
        "until_decided": until_decided_cells(options.simulations),
        "compare_and_check": pair_cells(options.simulations),
        "compare_and_check_clustered": [],
    }
    for row in clustered_cells(options.simulations):
        record["compare_and_check_clustered"].append(row)
        print("compare, check", row, flush=True)
    record["seconds"] = round(time.process_time() - start)
    if options.out:
        write_atomically(options.out, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
