"""Questions about nothing but their options, for training only: `Which option says purple?`

To answer a multiple-choice question is to find the answer among the options and to say its letter. The second half needs
no picture, and a small model learns it sooner by itself.
"""

import random

from moe_eval.mini.questions import COLUMNS, COUNTS, OPPOSITE, ROWS, YES_NO
from moe_eval.mini.world import COLOURS, PLACES, SHAPES, SIZES, WORDS
from moe_eval.prompts import OPTION_LETTER, lettered

__all__ = ["option_drill"]

VOCABULARIES = (COLOURS, SHAPES, SIZES, PLACES, WORDS, COUNTS, COLUMNS, ROWS, YES_NO, tuple(OPPOSITE))


def option_drill(generator: random.Random) -> tuple[str, str]:
    """Prompt and letter; two to five options of one kind, as in MMBench and ScienceQA."""
    vocabulary = generator.choice(VOCABULARIES)
    chosen = generator.sample(vocabulary, min(generator.randint(2, 5), len(vocabulary)))
    options = dict(zip("ABCDE", chosen, strict=False))
    letter = generator.choice(list(options))
    return f"Which option says {options[letter]}?\n{lettered(options)}\n{OPTION_LETTER}", letter
