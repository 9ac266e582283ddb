"""Made-up populations of scored answers with known truth, one like each kind of task, for `bench.coverage`.

Groups (pictures) have a chance of their own to be answered right, drawn from a beta distribution, so that answers to questions about one
picture are correlated by `CORRELATION`. Data sets are drawn from the groups of a population, so its own number is the truth.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from moe_eval.metrics.means import percent
from moe_eval.metrics.totals import OfTotals, Scores, of_totals
from moe_eval.registry import find_task
from moe_eval.task import Result, SampleScore

__all__ = ["LEVELS", "WORLDS", "World"]

LEVELS = (0.6, 0.9, 0.97, 0.99)
"""Chance that an answer is right."""

CORRELATION = 0.1
GROUPS = 3_000
"""In each population."""

CATEGORIES = ("existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR")
"""MME's of perception."""


@dataclass(frozen=True)
class World:
    """A population.

    Args:
        aggregate: written in totals.
        maximum: of the headline.
        scores: of all answers; each has its `group` and, where data sets hold as many groups of every category, `category`.
        stratified: whether data sets hold as many groups of every category, rather than whatever is drawn.
    """

    aggregate: OfTotals
    maximum: float
    scores: Sequence[SampleScore]
    stratified: bool = False


@of_totals
def accuracy(scores: Scores[SampleScore]) -> Result:
    return Result(percent(scores, "correct"), {})


@of_totals
def macro_average(scores: Scores[SampleScore]) -> Result:
    """The mean of the categories' accuracies, as benchmarks of many subjects have it."""
    shares = [percent(members, "correct") for members in scores.by(lambda score: score["category"]).values()]
    return Result(sum(shares[1:], start=shares[0]) / len(shares), {})


def _chance(generator: random.Random, level: float) -> float:
    spread = 1 / CORRELATION - 1
    return generator.betavariate(level * spread, (1 - level) * spread)


def _right(generator: random.Random, chance: float) -> int:
    return int(generator.random() < chance)


def independent(generator: random.Random, level: float) -> World:
    """Like ScienceQA: one question a group."""
    return World(accuracy, 100, [{"group": str(n), "correct": _right(generator, level)} for n in range(GROUPS)])


def pictures(generator: random.Random, level: float) -> World:
    """Like GQA's accuracy with 18 questions to every picture."""
    return _pictures(generator, level, lambda: 18)


def uneven_pictures(generator: random.Random, level: float) -> World:
    """The same with 1 to 35 questions."""
    return _pictures(generator, level, lambda: generator.randint(1, 35))


def _pictures(generator: random.Random, level: float, size: Callable[[], int]) -> World:
    scores = []
    for number in range(GROUPS):
        chance = _chance(generator, level)
        scores += [{"group": str(number), "correct": _right(generator, chance)} for _ in range(size())]
    return World(accuracy, 100, scores)


def categories(generator: random.Random, level: float) -> World:
    """A macro-average over five categories that are not equally hard; one question a group."""
    scores = []
    for number in range(GROUPS):
        kind = number % 5
        chance = 1 - (1 - level) * (0.5 + 0.25 * kind)
        scores.append({"group": str(number), "category": str(kind), "correct": _right(generator, chance)})
    return World(macro_average, 100, scores, stratified=True)


def pope(generator: random.Random, level: float) -> World:
    """Mean F1 of three categories with six questions each to every picture, which share it."""
    scores = []
    for number in range(GROUPS):
        chance = _chance(generator, level)
        for category in ("random", "popular", "adversarial"):
            for gold in ("yes", "no") * 3:
                other = "no" if gold == "yes" else "yes"
                prediction = gold if _right(generator, chance) else other
                correct = int(gold == prediction)
                score = {"category": category, "gold": gold, "prediction": prediction, "correct": correct}
                scores.append({"group": str(number), **score})
    return World(_of("pope"), 100, scores)


def mme(generator: random.Random, level: float) -> World:
    """The perception sum of ten categories: accuracy and accuracy of pairs, two questions a picture."""
    scores = []
    for number in range(GROUPS):
        chance, category = _chance(generator, level), CATEGORIES[number % len(CATEGORIES)]
        for _ in range(2):
            score = {"category": category, "picture": str(number), "correct": _right(generator, chance)}
            scores.append({"group": str(number), "gold": "yes", **score})
    return World(_of("mme"), 2000, scores, stratified=True)


def circular(generator: random.Random, level: float) -> World:
    """MMBench's circular accuracy: a question counts if it is right in all of four rotations."""
    scores = []
    for number in range(GROUPS):
        sure = _right(generator, level)
        for rotation in range(4):
            score = {"question": number, "rotation": rotation, "rotations": 4, "gold": "A", "resolved": "A"}
            scores.append({"group": str(number), "correct": sure or _right(generator, 0.3), **score})
    return World(_of("mmbench"), 100, scores)


def consensus(generator: random.Random, level: float) -> World:
    """VQAv2's accuracy, which ten annotators make 0, 0.3, 0.6, 0.9 or 1; five questions a picture."""
    scores = []
    for number in range(GROUPS):
        chance = _chance(generator, level)
        for _ in range(5):
            worth = (
                generator.choice([0.6, 0.9, 1, 1, 1]) if _right(generator, chance) else generator.choice([0, 0, 0.3])
            )
            scores.append({"group": str(number), "score": worth})
    return World(_of("vqav2"), 100, scores)


def grades(generator: random.Random, level: float) -> World:
    """Like MM-Vet: tenths that a judge gives, mostly 0 or 1; one question a group."""
    scores = []
    for number in range(GROUPS):
        sure = generator.random() < 0.7
        worth = float(_right(generator, level)) if sure else round(generator.betavariate(4 * level, 4 * (1 - level)), 1)
        scores.append({"group": str(number), "score": worth, "grade_1": worth})
    return World(_of("mmvet"), 100, scores)


def _of(task: str) -> OfTotals:
    protocol = next(iter(find_task(task).protocols.values()))
    assert isinstance(protocol.aggregate, OfTotals)
    return protocol.aggregate


WORLDS: dict[str, Callable[[random.Random, float], World]] = {
    "independent questions": independent,
    "pictures, 18 questions": pictures,
    "pictures, 1 to 35 questions": uneven_pictures,
    "macro-average of 5 categories": categories,
    "POPE, mean F1": pope,
    "MME, perception": mme,
    "MMBench, circular": circular,
    "VQAv2, consensus": consensus,
    "MM-Vet, grades": grades,
}
