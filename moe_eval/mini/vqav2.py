"""VQAv2's questions about drawn scenes, each answered by ten people. Rows are as on the Hugging Face hub."""

import random
from typing import Any

from moe_eval.mini.annotators import ten_people, with_confidence
from moe_eval.mini.questions import COUNTS, YES_NO, Fact, ask
from moe_eval.mini.source import mini_scenes
from moe_eval.mini.world import Scene

__all__ = ["PICTURES", "QUESTIONS", "mini_vqav2"]

PICTURES = 40

QUESTIONS = 12
"""About each picture, where it holds enough."""

WORDINGS = {
    "exists": ("Is there {a}?", "Do you see {a}?"),
    "exists_shape": ("Is there {a} in the picture?", "Are there any {many}?"),
    "is_colour": ("Is {the} {colour}?",),
    "relation": ("Is {the} {behind} {other}?",),
    "has_sign": ("Is there a sign?",),
    "is_place": ("Was this taken {place}?",),
    "count": ("How many {many} are there?", "How many {many} are in the picture?"),
    "colour": ("What color is {the}?", "What is the color of {the}?"),
    "shape": ("What shape is {the}?",),
    "size": ("What size is {the}?",),
    "column": ("Which side of the picture is {the} on?",),
    "neighbour": ("What shape is {behind} {other}?",),
    "larger": ("Which is larger, {one} or {two}?",),
    "word": ("What does the sign say?", "What word is on the sign?"),
    "time": ("Is it day or night?",),
}

PLAN = (
    *("exists", "exists", "exists_shape", "is_colour", "relation", "is_place", "has_sign", "count", "count"),
    *("colour", "colour", "shape", "size", "column", "neighbour", "larger", "word", "word", "time"),
)

QUESTION_TYPES = (
    *("is there", "is there a", "do you", "are there any", "was", "is the", "is it", "how many", "what color is the"),
    *("what is the color of the", "what is the", "what does the", "what", "which", "is"),
)
"""VQAv2's own types that these questions begin with; a question is of the longest one."""


def mini_vqav2(argument: str) -> list[tuple[Scene, dict[str, Any]]]:
    """Scenes and rows, see `mini_split` for the argument."""
    return [row for scene in mini_scenes("vqav2", argument, PICTURES) for row in _rows(scene)]


def question_type(question: str) -> str:
    """The longest of VQAv2's question types that the question begins with."""
    words = f"{question.lower().rstrip('?')} "
    return max((kind for kind in QUESTION_TYPES if words.startswith(f"{kind} ")), key=len, default="none of the above")


def _rows(scene: Scene) -> list[tuple[Scene, dict[str, Any]]]:
    image_id = int(scene.name.split("_")[1].split(".")[0])
    asked = ask(scene, "vqav2", WORDINGS, PLAN, QUESTIONS)
    return [(scene, _row(image_id, number, *question)) for number, question in enumerate(asked)]


def _row(image_id: int, number: int, question: str, fact: Fact) -> dict[str, Any]:
    generator = random.Random(f"vqav2 people {image_id} {question}")
    answers = with_confidence(generator, ten_people(generator, fact.answer, fact.choices), fact.answer)
    kinds = {YES_NO: "yes/no", COUNTS: "number"}
    return {
        "question_id": 1000 * image_id + number,  # as VQAv2 numbers the questions of a COCO picture
        "image_id": image_id,
        "question": question,
        "question_type": question_type(question),
        "answer_type": kinds.get(fact.choices, "other"),
        "multiple_choice_answer": fact.answer,
        "answers": [{**answer, "answer_id": number} for number, answer in enumerate(answers, start=1)],
    }
