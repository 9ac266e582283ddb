"""The answers in a journal that is being written, read as they come: only what is new, and nothing is locked."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError
from moe_eval.files.jsonl import parse_line
from moe_eval.runs.journal import check_answer_line

__all__ = ["JournalTail"]


@dataclass
class JournalTail:
    """A journal up to the last line that was whole when it was read.

    A torn last line is left for the next time: its process may be writing it, or has died, and then the run that resumes
    cuts it off. A journal that was begun anew (`--fresh`, or deleted) is read anew: the line before our place is not ours.

    Attributes:
        answers: the journal's lines by id, in their order.
    """

    path: Path
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    _offset: int = 0
    _lines: int = 0
    _last: bytes = b""

    def read(self) -> bool:
        """Take in what has come; whether anything is different from before.

        Raises:
            UserError: for a line that is no answer, every time until it is mended; the answers before it are kept.
        """
        try:
            with self.path.open("rb") as stream:
                anew = self._forget_if_changed(stream)
                stream.seek(self._offset)
                content = stream.read()
        except FileNotFoundError:
            return self._forget()
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read: {error.strerror}") from error
        whole = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
        for line in whole:
            self._take(line)
        return anew or bool(whole)

    def _take(self, line: bytes) -> None:
        number = self._lines + 1
        if line.strip():
            record = parse_line(line, self.path, number)
            check_answer_line(record, self.path, number)
            self.answers[record["id"]] = record
        self._offset += len(line)
        self._lines, self._last = number, line

    def _forget_if_changed(self, stream: Any) -> bool:
        stream.seek(self._offset - len(self._last))
        return stream.read(len(self._last)) != self._last and self._forget()

    def _forget(self) -> bool:
        known = bool(self._lines)
        self.answers = {}
        self._offset, self._lines, self._last = 0, 0, b""
        return known
