"""Reading JSON lines, plain or gzipped, with errors that name the file and the line."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError
from moe_eval.files.json_text import parse_json

__all__ = ["parse_line", "read_jsonl"]


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of every line that is not blank.

    Raises:
        UserError: for a file that cannot be read, and for a line that is not a JSON object.
    """
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, parse_line(line, path, number)
    except EOFError as error:
        raise UserError(f"{path}: cut off after line {number}; copy the file again") from error
    except OSError as error:  # gzip.BadGzipFile is one, too
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def parse_line(line: bytes, path: Path, number: int) -> dict[str, Any]:
    """The object of one line.

    Raises:
        UserError: when it is not a JSON object.
    """
    record = parse_json(line, f"{path} line {number}")
    if not isinstance(record, dict):
        raise UserError(f"{path} line {number}: a JSON object is expected, not {type(record).__name__}")
    return record
