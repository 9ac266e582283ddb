"""`judge.json` of a run: who graded its answers, how, and the grades."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from moe_eval.runs.records import Record, read_record
from moe_eval.task import Sample

__all__ = ["JUDGE_FILE", "GradedAnswer", "JudgeRecord", "fingerprint", "read_judge", "with_grades"]

JUDGE_FILE = "judge.json"


class GradedAnswer(Record):
    """The grades of one answer, one per run of the judge; they hold for this text only."""

    answer: str = Field(description="SHA-256 of the answer's text")
    grades: list[float | str]


class JudgeRecord(Record):
    """`judge.json`."""

    schema_version: int = Field(default=1, ge=1, le=1)
    task: str
    protocol: str
    model: str
    url: str
    runs: int
    date: str | None = Field(
        default=None, description="UTC day of the last reply, ISO 8601; null where it is not known"
    )
    prompt: str = Field(description="what the judge was asked first about the first answer")
    prompts: str = Field(description="SHA-256 over the first questions about all answers, in the order of the data")
    calls: int = Field(description="made by the last `moe-eval judge`; replies from its cache do not count")
    tokens: int
    answers: dict[str, GradedAnswer]
    ungraded: list[str] = Field(
        default=[],
        description="ids of answers to which the judge gave no grade in some run; they count as the original has it",
    )

    @property
    def name(self) -> str:
        """Who graded, for people: `gpt-4-0613, 5 runs, 2024-01-31`. The day is there because judges drift.

        How many answers got no grade is said, too: a judge that never gives one makes a mean of 0.
        """
        without = f", {len(self.ungraded)} of {len(self.answers)} answers without a grade" if self.ungraded else ""
        day = f", {self.date}" if self.date else ""
        return f"{self.model}, {self.runs} run{'s' * (self.runs != 1)}{day}{without}"


def fingerprint(text: str) -> str:
    """SHA-256 of a text, half surrogate pairs included."""
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def read_judge(folder: Path, protocol: str) -> JudgeRecord | None:
    """What a judge made of the run in that folder, asked as the protocol asks; None if there is nothing.

    Raises:
        UserError: when the file is not as we write it.
    """
    path = folder / JUDGE_FILE
    if not path.is_file():
        return None
    record = read_record(JudgeRecord, path)
    return record if record.protocol == protocol else None


def with_grades(samples: Sequence[Sample], answers: Mapping[str, str], judge: JudgeRecord | None) -> list[Sample]:
    """The samples with the grades of their answers as `meta["grades"]`: of those whose text is the one that was graded."""
    if judge is None:
        return list(samples)
    return [_with_grades(sample, answers.get(sample.id, ""), judge.answers.get(sample.id)) for sample in samples]


def _with_grades(sample: Sample, answer: str, graded: GradedAnswer | None) -> Sample:
    if graded is None or graded.answer != fingerprint(answer):
        return sample
    return replace(sample, meta={**sample.meta, "grades": tuple(graded.grades)})
