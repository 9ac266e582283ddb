"""Data whose questions ten annotators answered: VQAv2, VizWiz, TextVQA."""

import ast
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from moe_eval.errors import UserError
from moe_eval.task import Dataset, Sample

__all__ = ["dataset_of_split", "parse_list", "ten_answers"]


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


def dataset_of_split(
    source: str, samples: Sequence[Sample], sizes: Mapping[str, int], *, server: bool = False, has_images: bool = True
) -> Dataset:
    """The data set, called by the split that has as many questions.

    Args:
        sizes: split → number of questions; the first is the one that papers report.
        server: whether there is one that scores hidden answers.
    """
    split = next((name for name, size in sizes.items() if size == len(samples)), None)
    version = f"{len(samples):,} questions of {split or 'an unknown split'}"
    if server and samples and samples[0].gold is None:
        version += ", whose answers are hidden: `moe-eval submit` writes what the server scores"
    return Dataset(source, version, samples, official=split == next(iter(sizes)), has_images=has_images)
