"""LLaVA's `playground/data/eval` folders: a file of questions in JSON lines, annotations and pictures beside it."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError
from moe_eval.files import json_text
from moe_eval.files.jsonl import read_jsonl
from moe_eval.images import ImageFile

__all__ = ["PictureFolder", "check_fields", "check_texts", "locate", "read_json", "read_questions", "read_text"]


def locate(task: str, argument: str, questions: str) -> Path:
    """The file that `llava:DIR` (`DIR/questions`) or `llava:FILE` means.

    Raises:
        UserError: when nothing was given or the file is missing.
    """
    if not argument:
        raise UserError(f"{task}: llava needs a folder: --data llava:playground/data/eval/{task}")
    path = Path(argument) / questions if Path(argument).is_dir() else Path(argument)
    if not path.is_file():
        raise UserError(f"{task}: {path} is missing; llava:DIR wants LLaVA's layout of eval/{task}")
    return path


def read_questions(task: str, path: Path, suffix: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(place, question, record) of each line; the question is the record's `text` without LLaVA's suffix.

    Raises:
        UserError: naming the line that lacks a field or does not end as LLaVA asks.
    """
    for line, record in read_jsonl(path):
        where = f"{task}: {path} line {line}"
        if "question_id" not in record:
            raise UserError(f"{where} lacks question_id; a LLaVA question has question_id, image and text")
        check_texts(record, ("image", "text"), where)
        text = record["text"]
        if not text.endswith(f"\n{suffix}"):
            raise UserError(f"{where}: text does not end with {suffix!r}; is it the question file of {task}?")
        yield where, text.removesuffix(f"\n{suffix}"), record


def read_json(task: str, path: Path, wanted: type) -> Any:
    """The content of a JSON file that must be an object or a list.

    Raises:
        UserError: for a file that is missing, broken or of another kind.
    """
    content = json_text.read_json(path)
    if not isinstance(content, wanted):
        raise UserError(f"{task}: {path}: a JSON {wanted.__name__} is expected, not a {type(content).__name__}")
    return content


def read_text(task: str, path: Path) -> str:
    """The text of a file.

    Raises:
        UserError: when it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{task}: {path}: is not UTF-8 (byte {error.start}); write it anew in UTF-8") from error
    except OSError as error:
        raise UserError(f"{task}: {path}: cannot be read: {error.strerror or error}") from error


def check_fields(record: Any, fields: Collection[str], where: str) -> None:
    """A record must be an object with these fields.

    Raises:
        UserError: naming the place and what is missing.
    """
    missing = set(fields) - (record.keys() if isinstance(record, dict) else set())
    if missing:
        raise UserError(f"{where} lacks {', '.join(sorted(missing))}")


def check_texts(record: Any, fields: Collection[str], where: str) -> None:
    """A record must be an object with strings in these fields.

    Raises:
        UserError: naming the place and the field.
    """
    check_fields(record, fields, where)
    for field in fields:
        if not isinstance(record[field], str):
            raise UserError(f"{where}: {field} is {record[field]!r}, not a string")


class PictureFolder:
    """The pictures of a folder by file name, one reference for all questions about a picture."""

    def __init__(self, folder: Path):
        self.exists = folder.is_dir()
        self._folder = folder
        self._known: dict[str, ImageFile] = {}

    def __getitem__(self, name: str) -> ImageFile:
        if name not in self._known:
            self._known[name] = ImageFile(self._folder / name, self._folder)
        return self._known[name]
