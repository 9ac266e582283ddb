"""MM-Vet's open questions about drawn scenes, with their capabilities, references in its notation, and full answers."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moe_eval.mini.captions import CAPTION_REQUEST, caption, in_reading_order
from moe_eval.mini.content import SceneObject
from moe_eval.mini.questions import (
    BEHIND,
    NUMBER_WORDS,
    column_of,
    facts,
    plural,
    reference,
    related,
    row_of,
    with_article,
)
from moe_eval.mini.source import mini_scenes, mini_split
from moe_eval.mini.world import SHAPES, Scene

__all__ = ["mini_mmvet"]

QUESTIONS = 20
"""Questions of each kind in the test set."""

KNOWN_BY = {
    "triangle": "the shape with three sides",
    "star": "the shape with five points",
    "heart": "the shape of love",
}
"""What has to be known to find a shape."""

PLACE_FORMS = {"indoors": "indoors<OR>inside", "day": "daytime<OR>day", "night": "night", "beach": "beach"}

Row = tuple[Scene, dict[str, Any]]


@dataclass(frozen=True)
class Question:
    """What is asked, what is wanted in MM-Vet's notation, a full answer, and what it takes to give it."""

    kind: str
    capability: tuple[str, ...]
    question: str
    answer: str
    response: str


def mini_mmvet(argument: str) -> list[Row]:
    """Pictures and rows as in `mm-vet.json`, with their `id`, and with the ideal `response`.

    Args:
        argument: what follows `mini`, see `mini_split`. The test set has one question about a picture; a training
            picture has one of each kind.
    """
    split, _ = mini_split("mmvet", argument)
    rows: list[Row] = []
    taken: Counter[str] = Counter()
    for scene in mini_scenes("mmvet", argument, 20 * QUESTIONS):
        questions = list(_questions(scene, random.Random(f"mmvet {scene.name}")))
        if split == "test":
            rarest = min(questions, key=lambda question: taken[question.kind])
            questions = [rarest] if taken[rarest.kind] < QUESTIONS else []
        for one in questions:
            taken[one.kind] += 1
            row = {
                "id": f"v1_{len(rows)}",
                "imagename": scene.name,
                "question": one.question,
                "answer": one.answer,
                "imagesource": "moe_eval",
                "capability": list(one.capability),
                "response": one.response,
            }
            rows.append((scene, row))
    return rows


def _questions(scene: Scene, generator: random.Random) -> Iterator[Question]:
    """One of each kind that the scene has something for."""
    yield Question("objects", ("rec",), "Which objects are in the picture?", "<AND>".join(scene.labels), _things(scene))
    for fact in facts(scene, "mmvet", ["colour"])["colour"][:1]:
        response = fact.ask(f"The {{name}} is {fact.answer}.")
        yield Question("color", ("rec",), fact.ask("What color is {the}?"), fact.answer, response)
    yield _where(scene, generator.choice(scene.objects))
    yield from _neighbours(scene, generator)
    yield _together(scene, generator)
    yield from _known(scene, generator)
    if scene.sign:
        response = f"The sign says {scene.word}."
        yield Question("sign", ("ocr",), "What does the sign say?", scene.word, response)
        part = (
            "at the top"
            if scene.sign.row == 0
            else "at the bottom"
            if scene.sign.row == scene.rows - 1
            else "in the middle"
        )
        question = f"What is written {part} of the picture?"
        yield Question("written", ("ocr", "spat"), question, scene.word, response)
    yield _describe(scene)


def _things(scene: Scene) -> str:
    *others, last = [with_article(item.label) for item in in_reading_order(scene)]
    return f"There are {', '.join(others)} and {last}." if others else f"There is {last}."


def _where(scene: Scene, item: SceneObject) -> Question:
    row, column, name = row_of(scene, item), column_of(scene, item), reference(scene, item)
    centre = row == column == "middle"
    return Question(
        kind="where",
        capability=("rec", "spat"),
        question=f"Where is the {name} in the picture?",
        answer="middle<OR>center<OR>centre" if centre else f"{row}<AND>{column}",
        response=f"The {name} is in the {'middle' if centre else f'{row} {column}'}.",
    )


def _neighbours(scene: Scene, generator: random.Random) -> Iterator[Question]:
    """At most one: what alone lies on one side of something."""
    alone = [
        (found[0], behind, other)
        for other in scene.objects
        for relation, behind in BEHIND.items()
        if len(found := related(scene, relation, other)) == 1
    ]
    if alone:
        item, behind, other = generator.choice(alone)
        name = reference(scene, other)
        response = f"{with_article(item.label).capitalize()} is {behind} the {name}."
        question = f"What is {behind} the {name}?"
        yield Question("neighbour", ("rec", "spat"), question, f"{item.colour}<AND>{item.shape}", response)


def _together(scene: Scene, generator: random.Random) -> Question:
    """A sum over a shape that is there and another one, which is there, too, if there are two."""
    present = sorted({item.shape for item in scene.objects})
    one = generator.choice(present)
    two = generator.choice([shape for shape in present if shape != one] or [shape for shape in SHAPES if shape != one])
    number = len(scene.having(shape=one)) + len(scene.having(shape=two))
    word = NUMBER_WORDS[number]
    question = f"How many {plural(one)} and {plural(two)} are there together?"
    response = f"There {'is' if number == 1 else 'are'} {word}."
    return Question("together", ("math", "rec"), question, f"{word}<OR>{number}", response)


def _known(scene: Scene, generator: random.Random) -> Iterator[Question]:
    single = [item for item in scene.objects if item.shape in KNOWN_BY and len(scene.having(shape=item.shape)) == 1]
    if single:
        item = generator.choice(single)
        question = f"What color is {KNOWN_BY[item.shape]}?"
        yield Question("known", ("rec", "know"), question, item.colour, f"The {item.shape} is {item.colour}.")


def _describe(scene: Scene) -> Question:
    return Question(
        kind="description",
        capability=("rec", "ocr", "gen") if scene.sign else ("rec", "gen"),
        question=CAPTION_REQUEST,
        answer="<AND>".join([PLACE_FORMS[scene.place], *scene.labels, *([scene.word] if scene.sign else [])]),
        response=caption(scene),
    )
