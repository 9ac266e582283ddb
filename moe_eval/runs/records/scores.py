"""`scores.json`: what answers are worth."""

import hashlib
import json
from functools import partial
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from moe_eval.errors import UserError
from moe_eval.files.record import Record
from moe_eval.runs.records.data import DataRecord
from moe_eval.statistics.interval import IntervalMethodRecord, IntervalRecord

__all__ = ["HeadlineRecord", "ScoresRecord"]


class HeadlineRecord(Record):
    name: str
    value: float | None = Field(description="null where references are hidden or a judge has not graded yet")


class ScoresRecord(Record):
    """`scores.json`."""

    cure: ClassVar[str] = (
        "was it edited, or written by another version? Score the answers again: `moe-eval score TASK RUN --write`"
    )

    schema_version: Literal[2] = 2
    task: str
    protocol: str
    data: DataRecord
    headline: HeadlineRecord
    metrics: dict[str, Any] = Field(description="the breakdown; its shape is the task's")
    intervals: dict[str, IntervalRecord] = Field(
        default={}, description="by `headline` or the dotted path inside metrics; without those that cannot be told"
    )
    interval_method: IntervalMethodRecord | None = Field(default=None, description="null where there are no intervals")
    judge: str | None = Field(default=None, description="the language model that graded the answers, and how often")
    missing: list[str] = Field(default=[], description="ids of samples that were not answered and are left out")
    empty: int = Field(default=0, description="answers without any text; they are scored like others")
    samples: list[dict[str, float | int | str]] = Field(description="per sample: id, group, and the task's scores")
    checksum: str | None = Field(default=None, description="SHA-256 over all the rest, so that edits are noticed")

    def sealed(self) -> Self:
        """The same with its checksum."""
        return self.model_copy(update={"checksum": _checksum(json.loads(self.model_dump_json()))})

    def migrated(self) -> Self:
        """A record of version 1 with what version 2 has beside.

        Raises:
            UserError: where its samples do not say enough.
        """
        from moe_eval.registry import find_task
        from moe_eval.statistics.intervals import intervals_of

        if self.task in _CLUSTERS_LOST_IN_VERSION_1:
            raise UserError(f"schema version 1 of {self.task} cannot be read any more: score the answers again")
        protocol = find_task(self.task).protocol(self.protocol)
        intervals, method = intervals_of(self.samples, protocol.aggregate, partial(protocol.maximum_of, self.samples))
        return self.model_copy(update={"intervals": intervals, "interval_method": method}).sealed()

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """From what a file holds; a file of version 1, which has no intervals, gets them from its samples.

        Raises:
            ValidationError, UserError: when it is no such record, or was changed after it was written.
        """
        try:
            raw = json.loads(content)
        except ValueError:
            return super().parse(content)  # says where it is broken
        except RecursionError as error:
            raise UserError(f"nested too deeply to be read; {cls.cure}") from error
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if version == 1:
            return cls.model_validate({**raw, "schema_version": 2}).migrated()
        record = cls.model_validate(raw)
        if record.checksum != _checksum(raw):
            raise UserError(f"was changed by hand after it was written (its checksum does not fit); {cls.cure}")
        return record


_CLUSTERS_LOST_IN_VERSION_1 = {"mmbench"}
"""Where `group` of a sample was not what is resampled together."""


def _checksum(record: dict[str, Any]) -> str:
    """SHA-256 over a record as plain data, whatever the order and spacing of its file, without its checksum."""
    content = {name: value for name, value in record.items() if name != "checksum"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
