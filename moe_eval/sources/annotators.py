"""The ten answers that annotators gave to a question, checked where they enter."""

import ast
import sys
from typing import Any

from moe_eval.errors import UserError

__all__ = ["parse_list", "ten_answers"]


def ten_answers(answers: Any, where: str) -> tuple[str, ...] | None:
    """The answers as strings; None where they are hidden: absent, or none of them says anything.

    Args:
        answers: a list of strings, or of objects with the string in `answer`.
        where: file, row and field, for the error.

    Raises:
        UserError: when it is no such list, or there are not ten.
    """
    if answers is None:
        return None
    if not isinstance(answers, list | tuple):
        raise UserError(f"{where} is a {type(answers).__name__}, not a list of ten answers")
    texts: list[Any] = [answer.get("answer") if isinstance(answer, dict) else answer for answer in answers]
    wrong = [text for text in texts if not isinstance(text, str)]
    if wrong:
        raise UserError(f"{where} holds {wrong[0]!r}, which is no string")
    if not any(texts):
        return None
    if len(texts) != 10:
        raise UserError(f"{where} holds {len(texts)} answers; ten annotators answered each question")
    return tuple(sys.intern(text) for text in texts)  # a few thousand words make up millions of answers


def parse_list(text: str, where: str) -> Any:
    """A list that a table cell holds as Python writes it.

    Raises:
        UserError: when it is something else.
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise UserError(f"{where} is no list: {text[:60]!r}") from error
