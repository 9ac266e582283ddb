"""MMBench's rows about drawn scenes: six of its twenty abilities, each question in every rotation of its options.

The others need people, animals, famous places, diagrams or styles.
"""

import random
from collections import Counter
from dataclasses import replace
from typing import Any

from moe_eval.mini.options import options_of
from moe_eval.mini.questions import OPPOSITE, Fact, facts
from moe_eval.mini.source import mini_scenes, mini_split
from moe_eval.mini.world import Scene

__all__ = ["QUESTIONS", "mini_mmbench"]

QUESTIONS = 25
"""Questions of each ability in the test set."""

ROTATION = 1_000_000

INSTANCE, CROSS, COARSE = (
    "finegrained_perception (instance-level)",
    "finegrained_perception (cross-instance)",
    "coarse_perception",
)

ABILITIES = {
    "attribute_recognition": (
        INSTANCE,
        {"colour": "What is the color of {the}?", "shape": "What is the shape of {the}?"},
    ),
    "object_localization": (
        INSTANCE,
        {
            "column": "On which side of the picture is {the}?",
            "row": "In which part of the picture is {the}?",
            "count": "How many {many} are in the picture?",
        },
    ),
    "ocr": (INSTANCE, {"word": "What does the sign say?"}),
    "spatial_relationship": (
        CROSS,
        {"relation": "Where is {the}, seen from {other}?", "neighbour": "What is {behind} {other}?"},
    ),
    "attribute_comparison": (
        CROSS,
        {"larger": "Which is larger, {one} or {two}?", "same": "Are {one} and {two} the same {what}?"},
    ),
    "image_scene": (COARSE, {"place": "Which place or time does this picture show?"}),
}
"""Ability (`category`) → its group (`l2-category`) and how facts of a kind are asked for."""

HINTS = ("The picture shows shapes.", "The picture is drawn.", "Look at the whole picture.")
"""True of every picture; one question in five has one."""

Row = tuple[Scene, dict[str, Any]]
Question = tuple[str, Fact, str]
"""Ability, fact, wording."""


def mini_mmbench(argument: str) -> list[Row]:
    """Pictures and rows as in MMBench's files, rotations of a question together.

    Args:
        argument: what follows `mini`, see `mini_split`. The test set has one question about a picture; a training
            picture is asked about all its abilities, each question once, in one order of its options.
    """
    split, _ = mini_split("mmbench", argument)
    rows: list[Row] = []
    taken = Counter(dict.fromkeys(ABILITIES, 0))
    for scene in mini_scenes("mmbench", argument, 2 * QUESTIONS * len(ABILITIES)):
        generator = random.Random(f"mmbench {scene.name}")
        questions = _questions(scene, generator)
        if split == "test":
            rarest = min(questions, key=lambda question: taken[question[0]])
            questions = [rarest] if taken[rarest[0]] < QUESTIONS else []
        for question in questions:
            number = sum(taken.values())
            taken[question[0]] += 1
            rotations = _rotations(scene, question, number, generator)
            rows += [(scene, {**row, "split": split}) for row in (rotations if split == "test" else rotations[:1])]
    return rows


def _questions(scene: Scene, generator: random.Random) -> list[Question]:
    """One question for each kind of fact that the scene has, in random order."""
    found = []
    for ability, (_, wordings) in ABILITIES.items():
        for kind, some in facts(scene, "mmbench", list(wordings)).items():
            if some:
                found.append((ability, some[0], wordings[kind]))
    generator.shuffle(found)
    return found


def _rotations(scene: Scene, question: Question, number: int, generator: random.Random) -> list[dict[str, Any]]:
    """Each begins with the next option; `index` is the question's number, plus a million per rotation."""
    ability, fact, wording = question
    if fact.kind == "relation":
        fact = _as_where(fact)
    options = options_of(fact, scene, generator, most=generator.choice((3, 4, 4)))
    hint = generator.choice(HINTS) if generator.random() < 0.2 else ""
    rows = []
    for turn in range(len(options)):
        turned = options[turn:] + options[:turn]
        rows.append(
            {
                "index": number + ROTATION * turn,
                "question": fact.ask(wording),
                "hint": hint,
                **dict(zip("ABCD", turned, strict=False)),
                "answer": "ABCD"[turned.index(fact.answer)],
                "category": ability,
                "source": "moe_eval",
                "l2-category": ABILITIES[ability][0],
                "comment": "",
            }
        )
    return rows


def _as_where(fact: Fact) -> Fact:
    """`Is the star above the ring?` (no) as `Where is the star?` (below)."""
    asked = fact.slots["relation"]
    true = asked if fact.answer == "yes" else OPPOSITE[asked]
    return replace(fact, answer=true, choices=(true, OPPOSITE[true]))
