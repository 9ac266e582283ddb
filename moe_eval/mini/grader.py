"""MM-Vet's scale without a judge, for generated data: what share of the reference an answer says."""

import re

from moe_eval.mini.questions import COLUMNS, COUNTS, NUMBER_WORDS, ROWS, plural
from moe_eval.mini.world import COLOURS, PLACES, SHAPES, SIZES, WORDS

__all__ = ["grade_by_parts"]

KINDS = (COLOURS, SHAPES, SIZES, (*PLACES, "daytime"), (*COUNTS, *NUMBER_WORDS), (*ROWS, *COLUMNS), WORDS)
"""Words of which one excludes the others, more or less."""


SINGULARS = {plural(shape): shape for shape in SHAPES}


def grade_by_parts(question: str, reference: str, answer: str) -> float:
    """The grade of an answer, in tenths from 0.0 to 1.0.

    The reference is in MM-Vet's notation: all parts between `<AND>` are wanted, of each any form between `<OR>`. A
    part is said if its words stand together in the answer, in any case, of shapes with a plural s or without. Whoever
    says more than is needed to hit it loses: the share of the parts that are said is multiplied by the number of words
    needed over that of words claimed, if these are more. A claim is a word of a kind that is asked for (a color where
    the reference has one) that the question has not said already.
    """
    said = _words(answer)
    parts = [[_words(form) for form in part.split("<OR>")] for part in reference.split("<AND>")]
    found = [next((form for form in forms if _contains(said, form)), None) for forms in parts]
    share = sum(form is not None for form in found) / len(parts)
    needed = {word for form, forms in zip(found, parts, strict=True) for word in form or forms[0]}
    wanted = {word for forms in parts for form in forms for word in form}
    asked_for = {word for kind in KINDS if wanted & set(kind) for word in kind}
    claims = (set(said) & asked_for) - (set(_words(question)) - needed)
    return round(share * min(1.0, len(needed) / max(len(claims), 1)), 1)


def _words(text: str) -> list[str]:
    return [SINGULARS.get(word, word) for word in re.findall(r"\w+", text.lower())]


def _contains(words: list[str], form: list[str]) -> bool:
    return f" {' '.join(form)} " in f" {' '.join(words)} "
