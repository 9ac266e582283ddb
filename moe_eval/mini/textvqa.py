"""TextVQA's questions about drawn signs, with what an OCR system might have found. Rows are as on the Hugging Face hub.

The words that OCR finds are no safe source: a letter may be wrong or the end missing, the sign may be overlooked, and
words may be "found" that are not there. So a model has to look.
"""

import random
from typing import Any

from moe_eval.mini.annotators import ten_people
from moe_eval.mini.content import SceneObject
from moe_eval.mini.questions import FACTS, YES_NO, Fact, Facts, ask
from moe_eval.mini.source import mini_scenes, mini_split
from moe_eval.mini.world import COLOURS, SHAPES, WORDS, Scene

__all__ = ["PICTURES", "mini_textvqa", "read_by_ocr"]

PICTURES = 100

QUESTIONS = 3
"""About each picture of the test set."""

TRAINING_QUESTIONS = 6
"""About each picture for training."""


def read_word(scene: Scene, generator: random.Random) -> Facts:
    """What does the sign say? `what` is "word" or "number"."""
    yield Fact("read_word", scene.word, _alike(scene.word), {"what": "number" if scene.word.isdecimal() else "word"})


def says(scene: Scene, generator: random.Random) -> Facts:
    """Does the sign say {word}? Half of the wrong words are those that look like it."""
    asked = scene.word if generator.random() < 0.5 else generator.choice(_others(scene.word, generator))
    yield Fact("says", "yes" if asked == scene.word else "no", YES_NO, {"word": asked})


def which_word(scene: Scene, generator: random.Random) -> Facts:
    """Does the sign say {one} or {two}?"""
    one, two = generator.sample([scene.word, generator.choice(_others(scene.word, generator))], 2)
    yield Fact("which_word", scene.word, (one, two), {"one": one, "two": two})


def is_number(scene: Scene, generator: random.Random) -> Facts:
    """Is there a number on the sign?"""
    yield Fact("is_number", "yes" if scene.word.isdecimal() else "no", YES_NO, {})


def shape_beside(scene: Scene, generator: random.Random) -> Facts:
    """What shape is {beside} the sign? Where one object alone is above it or below it."""
    for beside, items in _beside_sign(scene).items():
        if len(items) == 1:
            yield Fact("shape_beside", items[0].shape, SHAPES, {"beside": beside})


def colour_beside(scene: Scene, generator: random.Random) -> Facts:
    """What color is the {name} {beside} the sign?"""
    for beside, items in _beside_sign(scene).items():
        for item in items:
            if len([other for other in items if other.shape == item.shape]) == 1:
                yield Fact("colour_beside", item.colour, COLOURS, {"name": item.shape, "beside": beside})


OWN = (read_word, says, which_word, is_number, shape_beside, colour_beside)
TABLE = {**FACTS, **{function.__name__: function for function in OWN}}

WORDINGS = {
    "read_word": ("What does the sign say?", "What {what} is on the sign?", "What {what} is written on the board?"),
    "says": ("Does the sign say {word}?",),
    "which_word": ("Does the sign say {one} or {two}?",),
    "is_number": ("Is there a number on the sign?",),
    "shape_beside": ("What shape is {beside} the sign?",),
    "colour_beside": ("What color is the {name} {beside} the sign?",),
    "count": ("How many {many} are there?",),
}

PLAN = (
    *("read_word", "read_word", "read_word", "says", "which_word", "is_number"),
    *("shape_beside", "colour_beside", "colour_beside", "count"),
)


def mini_textvqa(argument: str) -> list[tuple[Scene, dict[str, Any]]]:
    """Scenes and rows, see `mini_split` for the argument."""
    questions = QUESTIONS if mini_split("textvqa", argument)[0] == "test" else TRAINING_QUESTIONS
    rows: list[tuple[Scene, dict[str, Any]]] = []
    for scene in mini_scenes("textvqa", argument, PICTURES, signs=1.0):
        tokens = read_by_ocr(scene.word, random.Random(f"textvqa ocr {scene.name}"))
        for question, fact in ask(scene, "textvqa", WORDINGS, PLAN, questions, TABLE):
            generator = random.Random(f"textvqa people {scene.name} {question}")
            row = {
                "question_id": len(rows),
                "image_id": scene.name.removesuffix(".png"),
                "question": question,
                "answers": ten_people(generator, fact.answer, fact.choices),
                "ocr_tokens": tokens,
                "response": fact.answer,
            }
            rows.append((scene, row))
    return rows


# --- an OCR system that errs ------------------------------------------------------------------------------------

LOOKALIKES = dict(zip("OISEBALGTZHKRDCU0123456789", "01SF84164ZNXPOGVOLZB4GSTBG", strict=True)) | {"S": "5", "I": "l"}


def read_by_ocr(word: str, generator: random.Random) -> list[str]:
    """The tokens that are found on a sign that says `word`: in capitals, perhaps wrong, with others among them."""
    text = word.upper()
    tokens = generator.choices(([text], [_misread(text, generator)], [text[:-1]], []), (40, 25, 10, 25))[0]
    others = generator.sample([other.upper() for other in WORDS if other != word], generator.choice((0, 0, 1, 1, 2)))
    tokens = [*tokens, *others]
    generator.shuffle(tokens)
    return tokens


def _misread(text: str, generator: random.Random) -> str:
    place = generator.choice([place for place, letter in enumerate(text) if letter in LOOKALIKES] or [0])
    return text[:place] + LOOKALIKES.get(text[place], "") + text[place + 1 :]


# --- words and places -------------------------------------------------------------------------------------------


def _alike(word: str) -> tuple[str, ...]:
    """The words that have the length of this one, this one among them; numbers are numbers."""
    return tuple(w for w in WORDS if w.isdecimal() == word.isdecimal() and len(w) == len(word))


def _others(word: str, generator: random.Random) -> list[str]:
    alike = [other for other in _alike(word) if other != word]
    return alike if alike and generator.random() < 0.5 else [other for other in WORDS if other != word]


def _beside_sign(scene: Scene) -> dict[str, list[SceneObject]]:
    assert scene.sign is not None
    row = scene.sign.row
    return {
        "above": [item for item in scene.objects if item.row < row],
        "below": [item for item in scene.objects if item.row > row],
    }
