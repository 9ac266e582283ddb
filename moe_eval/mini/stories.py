"""Scenes that are told instead of shown, for training only: questions about them, to be answered in a word or by letter.

Half of ScienceQA's questions come without a picture. To find an answer in a text is learned sooner where the answer is
said, as that of a picture is.
"""

import random

from moe_eval.mini.options import options_of
from moe_eval.mini.questions import facts
from moe_eval.mini.scienceqa import IN_PICTURES_ONLY, WORDINGS, describe
from moe_eval.mini.world import Scene
from moe_eval.prompts import OPTION_LETTER, SHORT_ANSWER, lettered

__all__ = ["story_questions"]


def story_questions(scene: Scene, generator: random.Random, count: int) -> list[tuple[str, str]]:
    """Up to `count` prompts and answers, by turns for a word and for a letter; each tells the whole story."""
    kinds = [kind for kind in WORDINGS if kind not in IN_PICTURES_ONLY]
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
