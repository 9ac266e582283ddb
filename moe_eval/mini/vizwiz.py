"""VizWiz's questions about drawn photos, a third of which nobody can answer. Rows are as in its annotation files."""

import random
from typing import Any

from moe_eval.mini.annotators import ten_people, with_confidence
from moe_eval.mini.questions import COUNTS, FACTS, YES_NO, Fact, Facts, ask
from moe_eval.mini.source import mini_scenes, mini_split
from moe_eval.mini.world import SHAPES, WORDS, Scene

__all__ = ["PICTURES", "UNANSWERABLE", "mini_vizwiz"]

PICTURES = 240
"""Each has one question, as in VizWiz; those for training have more."""

TRAINING_QUESTIONS = 8

FLAWS = 0.25
"""Share of photos that are blurred or dark, so that no question about them can be answered."""

UNANSWERABLE = "unanswerable"
NO_ANSWER = (UNANSWERABLE, "unsuitable image", "unsuitable")
"""What VizWiz's people write about a question that they cannot answer."""


def this(scene: Scene, generator: random.Random) -> Facts:
    """What is this? In a photo of one object and no sign."""
    if len(scene.objects) == 1 and not scene.sign:
        yield Fact("this", scene.objects[0].shape, SHAPES, {})


def missing_sign(scene: Scene, generator: random.Random) -> Facts:
    """What does this sign say? In a photo without a sign."""
    if not scene.sign:
        yield Fact("missing_sign", UNANSWERABLE, WORDS, {})


TABLE = {**FACTS, "this": this, "missing_sign": missing_sign}

READ = ("What does this sign say?", "Can you read this sign for me?")

WORDINGS = {
    "this": ("What is this?", "Can you tell me what this is?"),
    "colour": ("What color is this {name}?", "Can you tell me what color {the} is?"),
    "shape": ("What is {the}?",),
    "size": ("Is {the} small or large?",),
    "count": ("How many {many} are there?",),
    "exists_shape": ("Is there {a} here?",),
    "time": ("Is it day or night?",),
    "word": READ,
    "missing_sign": READ,
}

PLAN = (
    *("this", "this", "colour", "colour", "colour", "shape", "shape", "size", "count", "exists_shape", "time"),
    *("word", "word", "word", "missing_sign"),
)


def mini_vizwiz(argument: str) -> list[tuple[Scene, dict[str, Any]]]:
    """Scenes and rows, see `mini_split` for the argument."""
    questions = 1 if mini_split("vizwiz", argument)[0] == "test" else TRAINING_QUESTIONS
    return [
        (scene, _row(scene, *question))
        for scene in mini_scenes("vizwiz", argument, PICTURES, flaws=FLAWS)
        for question in ask(scene, "vizwiz", WORDINGS, PLAN, questions, TABLE)
    ]


def _row(scene: Scene, question: str, fact: Fact) -> dict[str, Any]:
    generator = random.Random(f"vizwiz people {scene.name} {question}")
    answer = UNANSWERABLE if scene.flaw else fact.answer
    answers = ten_people(generator, answer, fact.choices, NO_ANSWER)
    kinds = {YES_NO: "yes/no", COUNTS: "number"}
    return {
        "image": scene.name,
        "question": question,
        "answers": with_confidence(generator, answers, answer),
        "answer_type": UNANSWERABLE if answer == UNANSWERABLE else kinds.get(fact.choices, "other"),
        "answerable": int(answer != UNANSWERABLE),
        "response": answer.capitalize() if answer == UNANSWERABLE else answer,  # as the prompt spells it
    }
