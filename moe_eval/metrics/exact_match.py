"""Equality of short answers, as lmms-eval and VLMEvalKit see it."""

import string

__all__ = ["lmms_eval_form", "vlmevalkit_form"]

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def lmms_eval_form(text: str) -> str:
    """What lmms-eval compares with `ignore_case` and `ignore_punctuation`: lower case, no ASCII punctuation.

    The original (Hugging Face's `exact_match`) does this in NumPy arrays of fixed width, which forget NULs at the end
    and cut off what is longer in lower case ("İ" becomes two characters); so does this.
    """
    text = text.rstrip("\0")
    return text.lower()[: len(text)].translate(_NO_PUNCTUATION).rstrip("\0")


def vlmevalkit_form(text: str) -> str:
    """What VLMEvalKit's method `accuracy` compares: no blanks around, lower case."""
    return text.strip().lower()
