"""ScienceQA's questions, with a drawn picture or without: what a picture would show is then told by the hint."""

import random
from collections import Counter
from typing import Any

from moe_eval.mini.options import options_of
from moe_eval.mini.questions import PLACE_PHRASES, Fact, facts, with_article
from moe_eval.mini.source import mini_scenes, mini_split
from moe_eval.mini.world import Scene

__all__ = ["IN_PICTURES_ONLY", "WORDINGS", "describe", "mini_scienceqa"]

SCENES = 320
"""Scenes of the test set; half of them, as in ScienceQA, are shown."""

WORDINGS = {
    "colour": "What is the color of {the}?",
    "shape": "What is the shape of {the}?",
    "size": "What is the size of {the}?",
    "larger": "Which is larger, {one} or {two}?",
    "same": "Do {one} and {two} have the same {what}?",
    "count": "How many {many} are there?",
    "word": "What does the sign say?",
    "place": "Which place or time does the picture show?",
    "column": "On which side of the picture is {the}?",
    "neighbour": "Which shape is {behind} {other}?",
}
IN_PICTURES_ONLY = ("place", "column", "neighbour")
"""Kinds of facts that a hint does not tell."""

TOPICS = {
    "natural science": (("colour", "shape", "size", "larger", "same", "count"), "physics", "Materials"),
    "social science": (("place", "column", "neighbour"), "geography", "Maps"),
    "language science": (("word",), "vocabulary", "Reading"),
}
"""Subject → kinds of facts, topic, category."""

LECTURES = {
    "natural science": "An object has properties. Color, shape and size are properties that you can see.",
    "social science": "A map shows where things are. Things can be left of, right of, above or below others.",
    "language science": "A sign is a board with a word or a number on it.",
}

Row = tuple[Scene | None, dict[str, Any]]


def mini_scienceqa(argument: str) -> list[Row]:
    """The picture, if the question has one, and rows as in `problems.json`, with their `id`.

    Args:
        argument: what follows `mini`, see `mini_split`. The test set has one question about a scene; a training scene
            has up to six with its picture and three without.
    """
    split, _ = mini_split("scienceqa", argument)
    rows: list[Row] = []
    taken: Counter[tuple[str, bool]] = Counter()
    for number, scene in enumerate(mini_scenes("scienceqa", argument, SCENES)):
        generator = random.Random(f"scienceqa {scene.name}")
        found = [some[0] for some in facts(scene, "scienceqa", list(WORDINGS)).values() if some]
        generator.shuffle(found)
        told = [fact for fact in found if fact.kind not in IN_PICTURES_ONLY]
        if split == "train":
            questions = [*((fact, True) for fact in found[:6]), *((fact, False) for fact in told[-3:])]
        else:
            shown = number % 2 == 0
            questions = [(min(found if shown else told, key=lambda fact: taken[fact.kind, shown]), shown)]
        for fact, shown in questions:
            taken[fact.kind, shown] += 1
            problem = _problem(scene, fact, shown, generator)
            rows.append((scene if shown else None, {"id": str(len(rows) + 1), **problem, "split": split}))
    return rows


def _problem(scene: Scene, fact: Fact, shown: bool, generator: random.Random) -> dict[str, Any]:
    subject = next(name for name, (kinds, *_) in TOPICS.items() if fact.kind in kinds)
    _, topic, category = TOPICS[subject]
    options = options_of(fact, scene, generator, most=generator.choice((2, 3, 4, 4, 5)))
    hint = describe(scene)
    if shown:
        hint = _setting(scene) if fact.kind != "place" and generator.random() < 0.5 else ""
    return {
        "question": fact.ask(WORDINGS[fact.kind]),
        "choices": options,
        "answer": options.index(fact.answer),
        "hint": hint,
        "image": "image.png" if shown else None,
        "task": "closed choice",
        "grade": f"grade{generator.randint(2, 8)}",
        "subject": subject,
        "topic": topic,
        "category": category,
        "skill": fact.kind,
        "lecture": LECTURES[subject],
        "solution": f"The answer is {fact.answer}.",
    }


def describe(scene: Scene) -> str:
    """`There are a small red star and a large blue ring. The sign says park.`"""
    *others, last = [with_article(f"{item.size} {item.label}") for item in scene.objects]
    things = f"There are {', '.join(others)} and {last}." if others else f"There is {last}."
    return f"{things} The sign says {scene.word}." if scene.word else things


def _setting(scene: Scene) -> str:
    return f"This picture was taken {PLACE_PHRASES[scene.place]}."
