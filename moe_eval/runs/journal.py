"""What a run has got so far, on disk: append-only JSON lines that survive kill -9 and a full disk.

A line is one `write`, so a process that dies leaves at most one torn line, at the end; it is dropped when the journal
is opened again and its question is asked again. Lines are forced to disk (`fsync`) at least once a second and
at the end, so a power cut loses a second.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from moe_eval.engine.backend import Response
from moe_eval.errors import UserError
from moe_eval.files.jsonl import read_jsonl

__all__ = [
    "AppendOnlyFile",
    "Journal",
    "answer_lines",
    "check_answer_line",
    "journal_line",
    "read_responses",
    "recorded_log_probabilities",
]

FSYNC_SECONDS = 1.0


class AppendOnlyFile:
    """A file of lines, open for appending.

    Args:
        path: created if missing; an unfinished last line is removed.
    """

    def __init__(self, path: Path):
        self.path = path
        _drop_torn_line(path)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._size = os.fstat(self._descriptor).st_size
        self._synced = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Force everything to disk and close the file."""
        try:
            self._write(b"", sync=True)
        finally:
            os.close(self._descriptor)

    def append_line(self, line: bytes) -> None:
        """Write one line, given without its end.

        Raises:
            UserError: when the disk is full; what was written before is kept whole.
        """
        self._write(line + b"\n", time.monotonic() - self._synced > FSYNC_SECONDS)

    def _write(self, data: bytes, sync: bool) -> None:
        try:
            _write_all(self._descriptor, data)
            if sync:
                os.fsync(self._descriptor)
                self._synced = time.monotonic()
        except OSError as error:
            os.ftruncate(self._descriptor, self._size)
            raise UserError(
                f"{self.path}: cannot write ({error.strerror}); what was written before is safe: "
                "free some space and start the same command again"
            ) from error
        self._size += len(data)


class Journal(AppendOnlyFile):
    """The `responses.jsonl` of a run.

    Attributes:
        responses: what was answered before, by id.

    Raises:
        UserError: when a line that is not the last one is broken, or an id occurs twice.
    """

    def __init__(self, path: Path):
        super().__init__(path)
        self.responses = {response.id: response for response in read_responses(path)}

    def append(self, response: Response) -> None:
        """Write one answer.

        Raises:
            UserError: when the disk is full; what was written before is kept whole.
        """
        self.append_line(journal_line(response).encode())
        self.responses[response.id] = response


def journal_line(response: Response) -> str:
    """An answer as the journal has it, without the end of the line."""
    record: dict[str, Any] = {
        "id": response.id,
        "response": response.text,
        "tokens": response.tokens,
        "finish_reason": response.finish_reason,
    }
    if response.reasoning:
        record["reasoning"] = response.reasoning
    if response.log_probabilities is not None:
        record["log_probabilities"] = dict(response.log_probabilities)
    return json.dumps(record)


def read_responses(path: Path) -> list[Response]:
    """All answers in a journal.

    Raises:
        UserError: naming the line that is broken, lacks a field or repeats an id.
    """
    responses: dict[str, Response] = {}
    for number, record in answer_lines(path):
        try:
            response = Response(
                id=record["id"],
                text=record["response"],
                tokens=int(record["tokens"]),
                finish_reason=record["finish_reason"],
                reasoning=record.get("reasoning"),
                log_probabilities=recorded_log_probabilities(record),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{path} line {number}: not an answer of ours: id, response, tokens, finish_reason are needed, and numbers by "
                "answer where there are log_probabilities"
            ) from error
        if response.id in responses:
            raise UserError(f"{path} line {number}: id {response.id} occurs twice; remove one of the two lines")
        responses[response.id] = response
    return list(responses.values())


def answer_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, record) of every answer in a journal; imported answers have no `tokens` and `finish_reason`.

    Raises:
        UserError: naming the line that is broken, or has no text as `id` and `response`.
    """
    for number, record in read_jsonl(path):
        check_answer_line(record, path, number)
        yield number, record


def check_answer_line(record: Mapping[str, Any], path: Path, number: int) -> None:
    """Refuse what is no answer of ours.

    Raises:
        UserError: naming the line, when it has no text as `id` or `response`.
    """
    odd = next((field for field in ("id", "response") if not isinstance(record.get(field), str)), None)
    if odd:
        said = f"its {odd} is {str(record[odd])[:40]}, not a string" if odd in record else f"it has no {odd}"
        raise UserError(f"{path} line {number}: not an answer of ours: {said}; remove the line, and it is asked again")


def recorded_log_probabilities(record: Mapping[str, Any]) -> dict[str, float] | None:
    """Those of a line of a journal, by answer; None where it has none.

    Raises:
        AttributeError, TypeError, ValueError: where it has something else under that name.
    """
    if "log_probabilities" not in record:
        return None
    return {str(answer): float(value) for answer, value in record["log_probabilities"].items()}


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _drop_torn_line(path: Path) -> None:
    """Cut the file after its last newline: whatever follows was being written when its process died."""
    if not path.exists():
        return
    with path.open("r+b") as stream:
        size = stream.seek(0, os.SEEK_END)
        end = size
        while end > 0:
            start = max(0, end - 65536)
            stream.seek(start)
            newline = stream.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            stream.truncate(end)
