"""Stored answers that carry what they are scored against, so that nothing else is needed to score them."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError
from moe_eval.files.jsonl import read_jsonl

__all__ = ["read_stored"]


def read_stored(task: str, argument: str, fields: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, record) of each line of the file that `answers:FILE` names.

    Raises:
        UserError: when no file was given, and naming the line that lacks one of `fields`.
    """
    if not argument:
        raise UserError(
            f"{task}: say what was asked: --data llava:DIR, tsv:FILE or hub, or answers:FILE with gold in it"
        )
    path = Path(argument)
    for line, record in read_jsonl(path):
        where = f"{task}: {path} line {line}"
        missing = sorted(set(fields) - record.keys())
        if missing:
            raise UserError(
                f"{where} has no {', '.join(missing)} to score the answer with: "
                "say what was asked with --data llava:DIR, tsv:FILE or hub"
            )
        yield where, record
