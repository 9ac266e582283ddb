"""Questions about nothing but their own words, for training only: `Which option says purple?`

To answer a multiple-choice question is to find the answer among the options and to say its letter. The second half needs
no picture, and a small model learns it sooner by itself. A published language model knows this, and how to say a word
again, long before it sees a picture.
"""

import random

from moe_eval.mini.questions import COLUMNS, COUNTS, OPPOSITE, ROWS, YES_NO
from moe_eval.mini.world import COLOURS, PLACES, SHAPES, SIZES, WORDS
from moe_eval.prompts import OPTION_LETTER, lettered

__all__ = ["option_drill", "read_drill", "repeat_drill"]

VOCABULARIES = (COLOURS, SHAPES, SIZES, PLACES, WORDS, COUNTS, COLUMNS, ROWS, YES_NO, tuple(OPPOSITE))
ALL_WORDS = tuple(dict.fromkeys(word for vocabulary in VOCABULARIES for word in vocabulary))


def option_drill(generator: random.Random) -> tuple[str, str]:
    """Prompt and letter; two to five options of one kind, as in MMBench and ScienceQA."""
    options = _options(generator.choice(VOCABULARIES), generator)
    letter = generator.choice(list(options))
    return f"Which option says {options[letter]}?\n{lettered(options)}\n{OPTION_LETTER}", letter


def read_drill(generator: random.Random) -> tuple[str, str]:
    """All options by their letters, in another order: `B is red, A is blue`."""
    options = _options(generator.choice((*VOCABULARIES, ALL_WORDS, ALL_WORDS)), generator)
    letters = generator.sample(list(options), len(options))
    asked = ", ".join(letters)
    return f"What do options {asked} say?\n{lettered(options)}", ", ".join(f"{i} is {options[i]}" for i in letters)


def repeat_drill(generator: random.Random) -> tuple[str, str]:
    """Three to eight words that have nothing to do with each other, and the same words again."""
    words = " ".join(generator.sample(ALL_WORDS, generator.randint(3, 8)))
    return f"Repeat: {words}", words


def _options(vocabulary: tuple[str, ...], generator: random.Random) -> dict[str, str]:
    chosen = generator.sample(vocabulary, min(generator.randint(2, 5), len(vocabulary)))
    return dict(zip("ABCDE", chosen, strict=False))
