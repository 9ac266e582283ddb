"""GQA's questions about drawn scenes: with programs, types, groups, and which questions imply which.

Records are as in GQA's question files, and choices as in its choices files, so that all of the official numbers can
be computed: consistency, validity, plausibility and distribution among them.
"""

import random
from collections.abc import Sequence
from typing import Any

from moe_eval.mini import gqa_objects, gqa_pairs, gqa_places
from moe_eval.mini.gqa_programs import GqaQuestion
from moe_eval.mini.questions import FACTS, facts
from moe_eval.mini.source import mini_scenes, mini_split
from moe_eval.mini.world import Scene

__all__ = ["PICTURES", "mini_gqa"]

PICTURES = 34

QUESTIONS = 15
TRAINING_QUESTIONS = 10
"""About each picture, where it holds enough."""

FORMS = {**gqa_objects.FORMS, **gqa_pairs.FORMS, **gqa_places.FORMS}
TABLE = {**FACTS, **gqa_objects.FACTS, **gqa_pairs.FACTS}

PLAN = (
    *("exists", "exists", "exists_shape", "is_colour", "colour", "colour", "shape", "shape", "size", "attributes"),
    *("side", "relation", "relation", "neighbour", "two_shapes", "same", "larger", "common"),
    *("is_place", "indoors", "place"),
)
"""Kinds of facts, each as often as it is wanted in a round."""

Row = tuple[Scene, str, dict[str, Any], dict[str, list[str]]]
"""Scene, question id, record, valid and plausible answers."""


def mini_gqa(argument: str) -> list[Row]:
    """All questions, see `mini_split` for the argument."""
    count = QUESTIONS if mini_split("gqa", argument)[0] == "test" else TRAINING_QUESTIONS
    asked = [(scene, _questions(scene, count)) for scene in mini_scenes("gqa", argument, PICTURES)]
    given: dict[str, dict[str, None]] = {}
    for _, questions in asked:
        for question in questions:
            given.setdefault(question.subject, {})[question.answer] = None
    rows: list[Row] = []
    for number, (scene, questions) in enumerate(asked, start=1):
        ids = [f"{number}{place:03d}" for place in range(len(questions))]
        for question_id, question in zip(ids, questions, strict=True):
            # An answer is plausible if it was right for the same question about some picture.
            plausible = [answer for answer in given[question.subject] if answer in question.options]
            choices = {"valid": list(question.options), "plausible": plausible}
            rows.append((scene, question_id, _record(scene, question_id, question, ids, questions), choices))
    return rows


def _questions(scene: Scene, count: int) -> list[GqaQuestion]:
    generator = random.Random(f"gqa forms {scene.name}")
    found = facts(scene, "gqa", list(FORMS), TABLE)
    asked: dict[str, GqaQuestion] = {}
    while any(found.values()) and len(asked) < count:
        for kind in generator.sample(PLAN, len(PLAN)):
            if found[kind] and len(asked) < count:
                question = generator.choice(FORMS[kind])(found[kind].pop(), scene, generator)
                asked.setdefault(question.text, question)
    return list(asked.values())


def _record(
    scene: Scene, question_id: str, question: GqaQuestion, ids: Sequence[str], questions: Sequence[GqaQuestion]
) -> dict[str, Any]:
    others = [(other_id, other) for other_id, other in zip(ids, questions, strict=True) if other_id != question_id]
    entailed = [other_id for other_id, other in others if question.implies(other)]
    equivalent = [other_id for other_id, other in others if question.implies(other) and other.implies(question)]
    structural, semantic, detailed = question.kinds
    return {
        "imageId": scene.name.removesuffix(".png"),
        "question": question.text,
        "answer": question.answer,
        "fullAnswer": question.full_answer,
        "isBalanced": True,
        "groups": {"global": question.group or None, "local": question.subject},
        "entailed": [question_id, *entailed],
        "equivalent": [question_id, *equivalent],
        "types": {"structural": structural, "semantic": semantic, "detailed": detailed},
        "annotations": {"question": {}, "answer": {}, "fullAnswer": {}},
        "semantic": [
            {"operation": operation, "argument": argument, "dependencies": list(on)}
            for operation, argument, on in question.program
        ],
        "semanticStr": "->".join(f"{operation}: {argument} {list(on)}" for operation, argument, on in question.program),
    }
