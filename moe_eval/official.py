"""Whether questions are those that papers score: by hashes of the real files, as far as these could be had.

`results/official_questions.json` has, per benchmark, what of its questions is known: ids, questions, options, answers.
As many questions of other content are not the papers'. Where only a part is known, or nothing but their number, the
data's description says by what they were told. `python -m bench.official` makes the file.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from moe_eval.files.facts import read_facts

__all__ = ["OfficialPart", "doubt_or_ground", "part_hash"]

FILE = Path(str(files("moe_eval.results"))) / "official_questions.json"

NUMBER = "number"
"""The part of which nothing but the number of questions is known."""

EMPTY = ("", "nan")
"""What stands where there is no option; the latter is pandas'."""

WORDS = {"id": "ids", "question": "questions", "options": "options", "gold": "answers"}
"""What readers call the fields that are compared."""


class Question(Protocol):
    """What a sample has."""

    @property
    def id(self) -> str: ...
    @property
    def question(self) -> str: ...
    @property
    def images(self) -> Sequence[Any]: ...
    @property
    def gold(self) -> Any: ...
    @property
    def meta(self) -> Mapping[str, Any]: ...


class OfficialPart(BaseModel):
    """Something that all official questions of a benchmark have in common with no others.

    `part`: fields joined by `+` (`id`, `question`, `options`, `gold`; `count` of options and `pictures`), or `number`,
    of which there is no hash.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    samples: int
    part: str
    sha256: str | None
    source: str


def part_hash(questions: Iterable[Question], part: str) -> str:
    """SHA-256 over some fields of all questions in any order; case, blanks and punctuation of texts do not count."""
    rows = sorted("\t".join(_field(question, name) for name in part.split("+")) for question in questions)
    return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogatepass")).hexdigest()


def doubt_or_ground(task: str, questions: Sequence[Question]) -> tuple[str, str]:
    """Why as many questions as papers score are not theirs, or by what they were told where that is not everything.

    Returns:
        (doubt, ground): one of them, or neither, is a phrase such as `other ids` and `told by their ids`. Both are
        empty for tasks about whose questions nothing is recorded.
    """
    known = [entry for entry in _parts() if (entry.task, entry.samples) == (task, len(questions))]
    hashed = [entry for entry in known if entry.sha256 and _can_be_told(questions, entry.part)]
    wrong = [entry for entry in hashed if part_hash(questions, entry.part) != entry.sha256]
    if wrong:
        shortest = min(wrong, key=lambda entry: entry.part.count("+"))
        return f"other {_in_words([shortest])}", ""
    if not known or any("gold" in entry.part for entry in hashed):
        return "", ""
    return "", f"told by their {_in_words(hashed) if hashed else NUMBER}"


def _in_words(parts: Iterable[OfficialPart]) -> str:
    names = {name for entry in parts for name in entry.part.split("+")}
    return " and ".join(word for name, word in WORDS.items() if name in names)


def _can_be_told(questions: Sequence[Question], part: str) -> bool:
    """Whether the data have the fields: stored answers come without questions, test sets without gold."""
    return all(any(_field(question, name) for question in questions) for name in part.split("+"))


def _field(question: Question, name: str) -> str:
    options = question.meta.get("choices") or tuple(question.meta.get("options", {}).values())
    match name:
        case "id":
            return question.id
        case "question":
            return _plain(question.question)
        case "options":
            return "|".join(text for text in map(_plain, options) if text not in EMPTY)
        case "gold":
            return "" if question.gold is None else _plain(str(question.gold))
        case "count":
            return str(len(options))
        case "pictures":
            return str(len(question.images))
    raise ValueError(f"no field {name!r}")


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


@cache
def _parts() -> list[OfficialPart]:
    return read_facts(OfficialPart, FILE)
