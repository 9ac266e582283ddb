"""Scenes that are told instead of shown, for training only: questions about them, to be answered in a word or by letter, and
all of their things described. Half of ScienceQA's questions come without a picture.
"""

import random
from collections.abc import Sequence

from moe_eval.mini.options import options_of
from moe_eval.mini.questions import facts, reference
from moe_eval.mini.scienceqa import IN_PICTURES_ONLY, WORDINGS, describe
from moe_eval.mini.world import Scene
from moe_eval.prompts import OPTION_LETTER, SHORT_ANSWER, lettered

__all__ = ["SAID", "TOLD", "description", "story_questions"]

TOLD = tuple(kind for kind in WORDINGS if kind not in IN_PICTURES_ONLY)
"""Kinds of facts that a story tells."""

SAID = ("colour", "shape", "size", "word")
"""Those of them whose answer is a word of the story; the others take counting or comparing."""


def story_questions(
    scene: Scene, generator: random.Random, count: int, kinds: Sequence[str] = TOLD
) -> list[tuple[str, str]]:
    """Up to `count` prompts and answers, by turns for a word and for a letter; each tells the whole story."""
    found = [(WORDINGS[fact.kind], fact) for some in facts(scene, "stories", kinds).values() for fact in some[:2]]
    generator.shuffle(found)
    rounds = []
    for number, (wording, fact) in enumerate(found[:count]):
        question = f"Context: {describe(scene)}\n{fact.ask(wording)}"
        if number % 2 == 0:
            rounds.append((f"{question}\n{SHORT_ANSWER}", fact.answer))
        else:
            options = dict(zip("ABCDE", options_of(fact, scene, generator, most=generator.randint(2, 5)), strict=False))
            letter = next(letter for letter, option in options.items() if option == fact.answer)
            rounds.append((f"{question}\n{lettered(options)}\n{OPTION_LETTER}", letter))
    return rounds


def description(scene: Scene, generator: random.Random) -> tuple[str, str]:
    """Prompt and answer: size and colour of each thing of the story, in another order."""
    things = generator.sample(scene.objects, len(scene.objects))
    names = [reference(scene, item) for item in things]
    described = (f"the {name} is {item.size} and {item.colour}" for name, item in zip(names, things, strict=True))
    return f"Context: {describe(scene)}\nDescribe each: {', '.join(names)}.", ", ".join(described)
