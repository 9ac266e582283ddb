"""Options to choose from: the answer of a fact among wrong ones that might be right."""

import random

from moe_eval.mini.questions import Fact
from moe_eval.mini.world import Scene

__all__ = ["options_of"]


def options_of(fact: Fact, scene: Scene, generator: random.Random, most: int = 4) -> list[str]:
    """At most `most` different options in random order; a wrong one is there in the picture, if there can be one."""
    wrong = [choice for choice in fact.choices if choice != fact.answer and not _holds_too(choice, fact.answer)]
    generator.shuffle(wrong)
    seen = {value for item in scene.objects for value in (item.colour, item.shape)}
    near = [choice for choice in wrong if choice in seen][:1]
    options = [fact.answer, *near, *(choice for choice in wrong if choice not in near)][:most]
    generator.shuffle(options)
    return options


def _holds_too(choice: str, answer: str) -> bool:
    """It is day at the beach, too."""
    return {choice, answer} == {"day", "beach"}
