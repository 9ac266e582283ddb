"""How many questions `moe-eval run --until` would have asked: `python -m bench.until ANSWERS --task pope --data official`.

Stored answers with known worth are asked in random orders; at each look the library's own interval says whether to stop. Without
answers, made-up ones stand for those of LLaVA-1.5-13B to VQAv2's test-dev (107,394 questions, accuracy 80.0), whose gold is hidden: five
questions a picture, correlated by 0.1, once graded by ten annotators as in `bench.worlds`, and once all 0 or 1, which vary most.
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from bench.coverage import linearised
from bench.worlds import consensus
from moe_eval.files.atomic import write_atomically
from moe_eval.registry import find_task
from moe_eval.scoring.answers import read_answers
from moe_eval.statistics.few_groups import score_interval, spread_of
from moe_eval.statistics.resampling import Recording, looked_at, number_clusters, record_totals
from moe_eval.statistics.sequential import looks_at, stretch_of

HALF_WIDTHS = (4.0, 3.0, 2.0, 1.5, 1.0, 0.5)
ORDERS = 100
VQAV2_PICTURES = 107_394 // 5
VQAV2_LEVELS = {"graded": 0.875, "0 or 1": 0.8}
"""Chance of an answer that is at least half right, which makes the accuracy 80 %."""


def recorded(task_name: str, answers: Path, source: str) -> Recording:
    """The totals of stored answers, by picture."""
    task = find_task(task_name)
    dataset = task.load(source)
    protocol, texts = next(iter(task.protocols.values())), read_answers(task, dataset, answers)
    scores = [{**protocol.score(sample, texts[sample.id]), "group": sample.group} for sample in dataset.samples]
    return record_totals(protocol.aggregate, scores, number_clusters([score["group"] for score in scores]))  # type: ignore[arg-type]


def made_up(kind: str) -> Recording:
    """The totals of a population like VQAv2's, by picture."""
    world = consensus(random.Random(0), VQAV2_LEVELS[kind])
    scores = [
        score if kind == "graded" else {**score, "score": float(float(score["score"]) > 0.5)} for score in world.scores
    ]
    return record_totals(world.aggregate, scores, number_clusters([score["group"] for score in scores]))


def asked(recording: Recording, orders: list[np.ndarray]) -> list[dict[str, Any]]:
    """Questions asked until each half-width, mean over orders; and that of all, with one look."""
    sizes = looked_at(recording)["headline"]
    looks = looks_at(len(orders[0]))
    stretch = stretch_of(looks)
    half = np.array([[_half_width(recording, sizes, order[:look], stretch) for look in looks] for order in orders])
    counts = np.array([[sizes[order[:look]].sum() for look in looks] for order in orders])
    of_all = _half_width(recording, sizes, orders[0], 1.0)
    rows = []
    for wanted in HALF_WIDTHS:
        reached = half <= wanted
        stop = np.where(reached.any(axis=1), reached.argmax(axis=1), len(looks) - 1)
        questions = counts[np.arange(len(orders)), stop]
        rows.append(
            {
                "half_width": wanted,
                "reached": round(100 * float(reached.any(axis=1).mean())),
                "questions": round(float(questions.mean())),
                "of": round(float(counts[:, -1].mean())),
                "saved": round(100 * float(1 - (questions / counts[:, -1]).mean()), 1),
            }
        )
    return [{"half_width_of_all": round(of_all, 2), "looks": len(looks), "stretch": round(stretch, 3)}, *rows]


def _half_width(recording: Recording, sizes: np.ndarray, order: np.ndarray, stretch: float) -> float:
    values, influences, deletions = linearised(recording, order[None])
    spread = spread_of(influences[0], deletions[0], sizes[order])
    assert spread
    low, high = score_interval(float(values[0]), 100.0, spread, stretch)
    return (high - low) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("answers", type=Path, nargs="?", help="as of `moe-eval score`; none: VQAv2, made up")
    parser.add_argument("--task", default="pope")
    parser.add_argument("--data", default="official")
    parser.add_argument("--orders", type=int, default=ORDERS)
    parser.add_argument("--out", type=Path, help="file for the numbers")
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    record: dict[str, Any] = {"orders": options.orders}
    if options.answers:
        recording = recorded(options.task, options.answers, options.data)
        orders = [generator.permutation(len(recording.columns)) for _ in range(options.orders)]
        record["rows"] = asked(recording, orders)
    else:
        for kind in VQAV2_LEVELS:
            recording = made_up(kind)
            orders = list(generator.integers(0, len(recording.columns), (options.orders, VQAV2_PICTURES)))
            record[kind] = {
                "accuracy": round(float(recording.result.headline or 0), 1),
                "rows": asked(recording, orders),
            }
    text = json.dumps(record, indent=1)
    print(text)
    if options.out:
        write_atomically(options.out, text + "\n")


if __name__ == "__main__":
    main()
