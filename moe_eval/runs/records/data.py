"""What a run was asked, as its records name it."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from pydantic import Field

from moe_eval.files.record import Record
from moe_eval.runs.shard import Shard
from moe_eval.task import Dataset, Stopping

__all__ = ["DataRecord", "PromptRecord", "ShardRecord", "prompt_fingerprint"]


class StoppingRecord(Record):
    """That asking may stop before all was asked (`moe-eval run --until`)."""

    rule: str = Field(description="such as until=1, half the width of the interval, or until=decided")
    seed: int = Field(description="of the random order in which pictures are asked")
    of: int = Field(description="how many samples there are; `samples` of them were asked")
    stretch: float = Field(description="how many times as wide all intervals are because the scores were looked at")


class DataRecord(Record):
    """Which samples were asked."""

    source: str = Field(description="the --data string, revision included")
    version: str = Field(description="which edition of the data it is, for people")
    fingerprint: str = Field(description="SHA-256 over ids, questions, gold and picture names")
    samples: int
    official: bool = Field(description="exactly the samples that the published numbers are about")
    stopping: StoppingRecord | None = Field(default=None, description="null where all were asked in their order")

    @classmethod
    def of(cls, dataset: Dataset) -> "DataRecord":
        return cls(
            source=dataset.source,
            version=dataset.version,
            fingerprint=dataset.fingerprint,
            samples=len(dataset.samples),
            official=dataset.official,
            stopping=StoppingRecord(**asdict(dataset.stopping)) if dataset.stopping else None,
        )

    def samples_of(self, dataset: Dataset) -> Dataset:
        """Those of all samples of the source that were asked."""
        if self.stopping:
            dataset = dataset.stopped(Stopping(**self.stopping.model_dump()))
        return dataset.first(self.samples)


def prompt_fingerprint(prompts: Iterable[str]) -> str:
    """SHA-256 over prompts in the order of the data; half a surrogate pair, which a broken question may hold, counts."""
    digest = hashlib.sha256("\0".join(prompts).encode("utf-8", "surrogatepass")).hexdigest()
    return f"sha256:{digest}"


class ShardRecord(Record):
    """Which share of a run's questions was asked; `data` of the record is about the share alone."""

    number: int = Field(description="from 1")
    count: int = Field(description="of shares")
    whole: DataRecord = Field(description="all that the shares together are asked")

    @classmethod
    def of(cls, shard: Shard, whole: Dataset) -> "ShardRecord":
        return cls(number=shard.number, count=shard.count, whole=DataRecord.of(whole))


class PromptRecord(Record):
    """The user turns, without image line and chat template."""

    fingerprint: str = Field(description="SHA-256 over all prompts in the order of the data")
    example: str

    @classmethod
    def of(cls, prompts: Sequence[str]) -> "PromptRecord":
        return cls(fingerprint=prompt_fingerprint(prompts), example=prompts[0])
