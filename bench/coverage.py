"""How often the 95 % interval holds the truth, task by task and size by size: `python -m bench.coverage`.

Data sets of 10 to 10,000 questions are drawn from populations like each task (`bench/worlds.py`), whose number is known, and
go through the library's own intervals. Everything is drawn from seed 0. The figure (`coverage.svg`) and the table stand beside each other.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.coverage_figure import draw
from bench.worlds import LEVELS, WORLDS, World
from moe_eval.files.atomic import write_atomically
from moe_eval.statistics.few_groups import score_interval, spread_of
from moe_eval.statistics.resampling import Recording, looked_at, number_clusters, record_totals

SIMULATIONS = 2_000
QUESTIONS = (10, 30, 100, 300, 1_000, 3_000, 10_000)
FEWEST_GROUPS = 5
BLOCK = 2_000_000
"""Numbers held at a time."""

Array = NDArray[np.float64]


def cells(name: str, level: float, simulations: int) -> Iterator[dict[str, Any]]:
    """A row for each size of data sets of a world."""
    world = WORLDS[name](random.Random(f"{name} {level}"), level)
    clusters = number_clusters([score["group"] for score in world.scores])
    recording = record_totals(world.aggregate, world.scores, clusters)
    size = len(clusters) / len(recording.columns)
    for questions in QUESTIONS:
        groups = round(questions / size)
        if groups < FEWEST_GROUPS:
            continue
        generator = np.random.default_rng([0, questions])
        chosen = draw_groups(world, recording, groups, simulations, generator)
        if chosen is not None:
            yield {"world": name, "level": level, "questions": questions, **_cover(world, recording, chosen)}


def draw_groups(
    world: World, recording: Recording, groups: int, simulations: int, generator: np.random.Generator
) -> NDArray[np.intp] | None:
    """Groups of each data set, [S, C]; None where there would not be two of every category."""
    if not world.stratified:
        return generator.integers(0, len(recording.columns), (simulations, groups))
    first = dict(zip(recording.clusters.tolist(), world.scores, strict=True))
    of_kind: dict[str, list[int]] = {}
    for cluster, score in first.items():
        of_kind.setdefault(str(score["category"]), []).append(cluster)
    each = round(groups / len(of_kind))
    if each < 2:
        return None
    drawn = [
        np.array(members)[generator.integers(0, len(members), (simulations, each))] for members in of_kind.values()
    ]
    return np.concatenate(drawn, axis=1)


def _cover(world: World, recording: Recording, chosen: NDArray[np.intp]) -> dict[str, Any]:
    truth, sizes = float(recording.result.headline or 0.0), looked_at(recording)["headline"]
    below = above = 0
    rows = max(1, BLOCK // (chosen.shape[1] * recording.columns.shape[1]))
    for start in range(0, len(chosen), rows):
        some = chosen[start : start + rows]
        for value, influence, deletion, at in zip(*linearised(recording, some), some, strict=True):
            spread = spread_of(influence, deletion, sizes[at])
            assert spread
            low, high = score_interval(min(max(0.0, float(value)), world.maximum), world.maximum, spread)
            below, above = below + (truth > high + 1e-9), above + (truth < low - 1e-9)
    total = len(chosen)
    return {
        "groups": chosen.shape[1],
        "coverage": round(100 * (1 - (below + above) / total), 1),
        "interval_below": round(100 * below / total, 1),
        "interval_above": round(100 * above / total, 1),
    }


def linearised(recording: Recording, chosen: NDArray[np.intp]) -> tuple[Array, Array, Array]:
    """Headline [S], influences [S, C] and deletions [S, C] of data sets of some groups, as the library has them of one."""
    columns = recording.columns[chosen]  # [S, C, K]
    totals = columns.sum(axis=1)
    count = columns.shape[-1]

    def headline(rows: Array) -> Array:
        return recording.numbers(rows.reshape(-1, count))["headline"].reshape(rows.shape[:-1])

    steps = 1e-4 * np.maximum(1.0, np.abs(totals))
    moves = steps[:, :, None] * np.eye(count)
    slopes = (headline(totals[:, None] + moves) - headline(totals[:, None] - moves)) / (2 * steps)
    values = headline(totals)
    without = headline(totals[:, None] - columns)
    return values, np.einsum("sck,sk->sc", columns, slopes), values[:, None] - without


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=SIMULATIONS, help="data sets a cell")
    parser.add_argument("--world", choices=WORLDS, help="only this one")
    parser.add_argument("--out", type=Path, help="folder for coverage.json and coverage.svg")
    options = parser.parse_args()
    start = time.process_time()
    found = []
    for name in [options.world] if options.world else WORLDS:
        for level in LEVELS:
            for row in cells(name, level, options.simulations):
                found.append(row)
                print(
                    f"{name:30} {level:4.0%} {row['questions']:6,} questions {row['groups']:6,} groups: "
                    f"{row['coverage']:5.1f} % ({row['interval_below']:.1f} below, {row['interval_above']:.1f} above)",
                    flush=True,
                )
    if options.out:
        record = {"simulations": options.simulations, "seconds": round(time.process_time() - start), "intervals": found}
        write_atomically(options.out / "coverage.json", json.dumps(record, indent=1) + "\n")
        write_atomically(options.out / "coverage.svg", draw(found))


if __name__ == "__main__":
    main()
