"""What `moe-eval judge correct` makes of a judge that has drifted: `python -m bench.judges`.

The original judge's grades of LLaVA-1.5-7B's answers to MM-Vet (mean 31.1) are gold. A later judge gave the same answers 27.9 in all (LLaVA
issue 1905); its single grades were not published, so it is played: it takes back a tenth or more from answers at random until its mean is
27.9. Gold grades of some answers, drawn at random, correct it.
"""

import argparse
import gzip
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from moe_eval.files.atomic import write_atomically
from moe_eval.judge.correction import Corrected, correct

GRADES = Path(__file__).parents[1] / "tests" / "data" / "llava15_13b" / "mmvet_grades_7b.jsonl.gz"
DRIFTED = 27.9
SIMULATIONS = 2_000
SIZES = (20, 40, 80)
"""Answers with gold grades, of 218."""

SHARES = (0.31, 0.8, 0.95)
"""Of answers that are right, where grades are right or wrong."""
AGREES = 0.95
"""How often the judge is right about one of those."""


def read_gold() -> dict[str, float]:
    """Mean grade of the original's runs by answer."""
    with gzip.open(GRADES, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return {row["question_id"]: sum(row["grades"]) / len(row["grades"]) for row in rows}


def drifted(gold: dict[str, float], generator: np.random.Generator) -> dict[str, float]:
    """Grades of the later judge: lower by 0.1 to 0.5 for answers at random, until the mean is 27.9."""
    grades, names = dict(gold), list(gold)
    while 100 * np.mean(list(grades.values())) > DRIFTED:
        name = names[generator.integers(len(names))]
        grades[name] = max(0.0, grades[name] - 0.1 * int(generator.integers(1, 6)))
    return grades


def draw(gold: dict[str, float], size: int, generator: np.random.Generator, resampled: bool = True) -> Corrected:
    """A correction by `size` gold grades; of other answers like these where `resampled`, so that intervals can be checked."""
    judged = drifted(gold, generator)
    names = list(gold)
    chosen = [names[place] for place in generator.integers(0, len(names), len(names))] if resampled else names
    order = generator.permutation(len(chosen))[:size]
    return correct(
        {str(place): judged[name] for place, name in enumerate(chosen)},
        {str(place): gold[chosen[place]] for place in order},
    )


def draw_right_or_wrong(share: float, size: int, generator: np.random.Generator) -> Corrected:
    """A correction by `size` gold grades of 218 answers, the share of which is right, by a judge that errs at random."""
    right = generator.random(218) < share
    judged = np.where(generator.random(218) < AGREES, right, ~right)
    return correct(
        {str(place): float(grade) for place, grade in enumerate(judged)},
        {str(place): float(right[place]) for place in range(size)},
    )


def summary(found: list[Corrected], truth: float) -> dict[str, float]:
    """How often intervals hold the truth, and how wide they are."""
    gold = [one.gold_low <= truth <= one.gold_high for one in found]
    return {
        "coverage": round(100 * float(np.mean([one.low <= truth <= one.high for one in found])), 1),
        "coverage_of_gold_alone": round(100 * float(np.mean(gold)), 1),
        "half_width": round(float(np.mean([one.high - one.low for one in found])) / 2, 2),
        "half_width_of_gold_alone": round(float(np.mean([one.gold_high - one.gold_low for one in found])) / 2, 2),
        "mean": round(float(np.mean([one.value for one in found])), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=SIMULATIONS, help="a size")
    parser.add_argument("--out", type=Path, help="file for the numbers")
    options = parser.parse_args()
    gold = read_gold()
    truth = 100 * float(np.mean(list(gold.values())))
    rows: list[dict[str, Any]] = []
    for size in SIZES:
        generator = np.random.default_rng(size)
        found = [draw(gold, size, generator) for _ in range(options.simulations)]
        rows.append(
            {
                "gold_grades": size,
                **summary(found, truth),
                "example": {
                    name: round(value, 2)
                    for name, value in vars(draw(gold, size, np.random.default_rng(0), False)).items()
                },
            }
        )
        print(rows[-1])
    binary: list[dict[str, Any]] = []
    for share, size in product(SHARES, SIZES):
        generator = np.random.default_rng(size)
        found = [draw_right_or_wrong(share, size, generator) for _ in range(options.simulations)]
        binary.append({"right": share, "gold_grades": size, **summary(found, 100 * share)})
        print(binary[-1])
    if options.out:
        record = {
            "simulations": options.simulations,
            "truth": round(truth, 2),
            "sizes": rows,
            "judge_agrees": AGREES,
            "right_or_wrong": binary,
        }
        write_atomically(options.out, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
