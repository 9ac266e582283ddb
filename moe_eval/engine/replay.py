"""Stored answers in the place of a model, `replay:FILE`: the whole way through the harness without asking anything."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from moe_eval.engine.backend import Answer, ModelInfo, Request, Response, Unanswered
from moe_eval.engine.elsewhere import AnsweredElsewhere
from moe_eval.errors import UserError
from moe_eval.files.jsonl import read_jsonl

__all__ = ["ReplayBackend", "ReplaySource"]

NAMES = (("id", "response"), ("question_id", "text"))
"""Of the id and the answer in a line: ours, and LLaVA's."""


@dataclass(frozen=True)
class ReplaySource(AnsweredElsewhere):
    """A file of answers to one task's questions.

    Args:
        name: `replay:FILE`; the file is a `responses.jsonl` of ours, a run folder with one, or LLaVA's answers, plain or gzipped.
        label: what it is called in folders and tables; None: its name.

    Raises:
        UserError: for a file that is not there.
    """

    name: str
    label: str | None = None

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise UserError(f"{self.name}: no such file; replay:FILE wants a responses.jsonl or a run folder")

    @property
    def path(self) -> Path:
        given = Path(self.name.removeprefix("replay:"))
        return given / "responses.jsonl" if given.is_dir() else given

    @property
    def whereabouts(self) -> str:
        return f"answers of {self.path}; no model is asked"

    def backend(self) -> "ReplayBackend":
        """What answers."""
        return ReplayBackend(self)


class ReplayBackend:
    """Gives the stored answer to each question, by its id; a question without one stays unanswered."""

    def __init__(self, source: ReplaySource):
        self._source = source

    def describe(self) -> ModelInfo:
        """Its name, and the fingerprint of the file."""
        with self._source.path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        name = self._source.title
        source = self._source.name if name != self._source.name else None
        return ModelInfo(name, "replay", f"sha256:{digest}", backend="replay", dtype="unknown", source=source)

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answers in the order of the requests.

        Raises:
            UserError: naming the line of the file that holds no answer.
        """
        for request in requests:
            stored = self._stored.get(request.id)
            yield stored or Unanswered(request.id, f"{self._source.path} has no answer to it", failed=True)

    @cached_property
    def _stored(self) -> dict[str, Response]:
        found = {}
        for number, line in read_jsonl(self._source.path):
            names = next((pair for pair in NAMES if pair[0] in line and pair[1] in line), None)
            if names is None:
                raise UserError(
                    f"{self._source.path} line {number}: no answer: id and response (or LLaVA's) are needed"
                )
            name, text = (str(line[key]) for key in names)
            found[name] = Response(
                name,
                text,
                tokens=int(line.get("tokens", len(text.split()))),
                finish_reason="length" if line.get("finish_reason") == "length" else "stop",
                reasoning=line.get("reasoning"),
            )
        return found
