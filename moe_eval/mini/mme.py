"""MME's pairs of questions about drawn scenes: of the two about a picture one is to be answered Yes, the other No.

Six of the fourteen subtasks can be drawn: existence, count, position, color, scene, OCR. Posters, celebrities,
landmarks, artworks need pictures of the world; the cognition subtasks need calculations, Chinese or code on the picture.
"""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from moe_eval.mini.questions import COUNTS, NUMBER_WORDS, OPPOSITE, Fact, facts, with_article
from moe_eval.mini.source import mini_scenes, mini_split
from moe_eval.mini.world import COLOURS, WORDS, Scene

__all__ = ["PICTURES", "mini_mme"]

PICTURES = 40
"""Pictures of each subtask in the test set."""

Row = tuple[Scene, dict[str, Any]]
Pair = tuple[str, str]
"""What is to be answered Yes and what No."""


def mini_mme(argument: str) -> list[Row]:
    """Pictures and rows as in MME's files (`question_id`, `question`, `answer`, `category`), pairs together.

    Args:
        argument: what follows `mini`, see `mini_split`. A test picture belongs to one subtask, as in MME; a training
            picture is asked about in all that it has something for.
    """
    training = mini_split("mme", argument)[0] == "train"
    rows: list[Row] = []
    taken = Counter(dict.fromkeys(SUBTASKS, 0))
    for scene in mini_scenes("mme", argument, 2 * PICTURES * len(SUBTASKS)):
        pairs = _pairs(scene)
        rarest = min(pairs, key=lambda name: taken[name])
        for subtask in pairs if training else [rarest]:
            if training or taken[subtask] < PICTURES:
                taken[subtask] += 1
                rows += _rows(scene, subtask, pairs[subtask])
    return rows


def _rows(scene: Scene, subtask: str, pair: Pair) -> list[Row]:
    return [
        (
            scene,
            {
                "question_id": f"{subtask}/{scene.name}",
                "question": f"{question} Please answer yes or no.",
                "answer": answer,
                "category": subtask,
            },
        )
        for question, answer in zip(pair, ("Yes", "No"), strict=True)
    ]


def _pairs(scene: Scene) -> dict[str, Pair]:
    """By subtask; without those that the scene has nothing for."""
    generator = random.Random(f"mme {scene.name}")
    found = {name: make(scene, generator) for name, make in SUBTASKS.items()}
    return {name: pair for name, pair in found.items() if pair}


def _existence(scene: Scene, generator: random.Random) -> Pair | None:
    return _by_answer(_facts(scene, "exists_shape"), "Is there {a} in this image?")


def _count(scene: Scene, generator: random.Random) -> Pair | None:
    fact = next(fact for fact in _facts(scene, "count") if fact.answer != "0")
    number = int(fact.answer)
    other = generator.choice([n for n in (number - 1, number + 1) if 1 <= n < len(COUNTS)])
    return _how_many(fact, number), _how_many(fact, other)


def _how_many(fact: Fact, number: int) -> str:
    if number == 1:
        return fact.ask("Is there only one {name} in this image?")
    return fact.ask(f"Are there {NUMBER_WORDS[number]} {{many}} in this image?")


def _position(scene: Scene, generator: random.Random) -> Pair | None:
    for fact in _facts(scene, "relation"):
        asked = fact.slots["relation"]
        true = asked if fact.answer == "yes" else OPPOSITE[asked]
        return _where(fact, true), _where(fact, OPPOSITE[true])
    return None


def _where(fact: Fact, relation: str) -> str:
    behind = {"left": "on the left of", "right": "on the right of"}.get(relation, relation)
    return fact.ask(f"Is {{the}} {behind} {{other}} in this image?")


def _color(scene: Scene, generator: random.Random) -> Pair | None:
    """The shape is there in one colour and not in the other, which by turns is a colour of something else there."""
    item = generator.choice(scene.objects)
    wrong = [colour for colour in COLOURS if not scene.having(colour=colour, shape=item.shape)]
    around = [colour for colour in wrong if scene.having(colour=colour)]
    other = generator.choice(around if around and generator.random() < 0.5 else wrong)
    right, wrong_one = with_article(item.label), with_article(f"{other} {item.shape}")
    return f"Is there {right} in the image?", f"Is there {wrong_one} in the image?"


def _scene(scene: Scene, generator: random.Random) -> Pair | None:
    return _by_answer(_facts(scene, "is_place"), "Is this picture captured {place}?")


def _ocr(scene: Scene, generator: random.Random) -> Pair | None:
    if not scene.sign:
        return None
    number = scene.word.isdecimal()
    other = generator.choice([word for word in WORDS if word != scene.word and word.isdecimal() == number])
    wording = f'Is the {"number" if number else "word"} on the sign "{{}}"?'
    return wording.format(scene.word), wording.format(other)


SUBTASKS: dict[str, Callable[[Scene, random.Random], Pair | None]] = {
    "existence": _existence,
    "count": _count,
    "position": _position,
    "color": _color,
    "scene": _scene,
    "OCR": _ocr,
}


def _facts(scene: Scene, kind: str) -> list[Fact]:
    return facts(scene, "mme", [kind])[kind]


def _by_answer(found: list[Fact], wording: str) -> Pair:
    """The first fact that holds and the first that does not."""
    questions = {fact.answer: fact.ask(wording) for fact in reversed(found)}
    return questions["yes"], questions["no"]
