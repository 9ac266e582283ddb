"""`recorded.json` of a run: the number that a benchmark's server gave its answers, where only the server has the gold."""

import hashlib
import json
from pathlib import Path

from pydantic import Field

from moe_eval.errors import UserError
from moe_eval.files.jsonl import read_jsonl
from moe_eval.runs.records import Record, read_record

__all__ = ["RECORDED_FILE", "RecordedNumber", "answers_fingerprint", "read_recorded"]

RECORDED_FILE = "recorded.json"


class RecordedNumber(Record):
    """`recorded.json`."""

    schema_version: int = Field(default=1, ge=1, le=1)
    task: str
    metric: str = Field(description="the headline that was pending, with its scale")
    value: float
    source: str = Field(description="who gave it: the server's address, or what --source says")
    recorded: str = Field(description="UTC, ISO 8601")
    answers: str = Field(description="SHA-256 over the answers that were sent; the number holds for no others")


def answers_fingerprint(folder: Path) -> str:
    """SHA-256 over ids and answers of a run, whatever their order.

    Raises:
        UserError: when `responses.jsonl` is missing or broken.
    """
    path = folder / "responses.jsonl"
    try:
        rows = sorted((str(record["id"]), record["response"]) for _, record in read_jsonl(path))
    except KeyError as error:
        raise UserError(f"{path}: a line lacks {error}") from error
    return f"sha256:{hashlib.sha256(json.dumps(rows).encode()).hexdigest()}"


def read_recorded(folder: Path) -> RecordedNumber | None:
    """The server's number for the answers that the run has now; None if there is none, or it is of earlier answers.

    Raises:
        UserError: when a file of the run is not as we write it.
    """
    path = folder / RECORDED_FILE
    if not path.is_file():
        return None
    record = read_record(RecordedNumber, path)
    return record if record.answers == answers_fingerprint(folder) else None
