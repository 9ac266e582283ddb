"""What a run leaves on disk: `run.json` (how answers were made) and `scores.json` (what they are worth).

The JSON Schemas in `moe_eval/runs/schemas/` are generated from these models: `python -m moe_eval.runs.schema_files` writes them.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field, ValidationError

from moe_eval.engine.backend import ModelInfo
from moe_eval.errors import UserError
from moe_eval.files.atomic import write_atomically
from moe_eval.files.record import Record
from moe_eval.runs.shard import Shard
from moe_eval.statistics.interval import IntervalMethodRecord, IntervalRecord
from moe_eval.task import Dataset, Stopping

__all__ = [
    "SAME_ANSWERS",
    "DataRecord",
    "GenerationRecord",
    "HeadlineRecord",
    "ImportedFile",
    "IntervalMethodRecord",
    "IntervalRecord",
    "OriginRecord",
    "PromptRecord",
    "Record",
    "RunRecord",
    "ScoresRecord",
    "SessionRecord",
    "ShardRecord",
    "prompt_fingerprint",
    "read_record",
    "write_record",
]


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


class GenerationRecord(Record):
    """What decides an answer beside model and prompt."""

    do_sample: bool = False
    temperature: float | None = Field(default=None, description="of drawn answers; null: greedy")
    samples: int | None = Field(default=None, description="how many answers to each question were drawn; null: greedy")
    seed: int | None = Field(default=None, description="of what was drawn; null: greedy")
    num_beams: Literal[1] = 1
    max_new_tokens: int
    pad_images: bool
    ablation: str | None = Field(
        default=None, description="what was taken away, such as image=grey, or changed; null: nothing"
    )
    system: str | None = Field(default=None, description="the system's words; null: those of the chat template")
    thinking: bool | None = Field(
        default=None, description="whether the model thought before it answered; null: not, or as its server has it"
    )

    @property
    def asked_otherwise(self) -> list[str]:
        """What the model was told beside the questions, such as `thinking`, for titles and tables."""
        system = [f'system "{self.system}"'] if self.system else []
        return system + ["thinking"] * bool(self.thinking)

    @property
    def drawn(self) -> str | None:
        """Such as `3 answers drawn at temperature 1`; None of greedy ones."""
        if not self.do_sample:
            return None
        return f"{self.samples} answer{'s' * (self.samples != 1)} drawn at temperature {self.temperature:g}"


class ImportedFile(Record):
    """A file of answers that somebody else's program wrote."""

    path: str
    sha256: str
    answers: int


class OriginRecord(Record):
    """Where imported answers came from."""

    format: Literal["moe-eval", "llava", "lmms-eval"]
    files: list[ImportedFile]
    model: str | None = Field(description="what the files call the model")
    imported: str = Field(description="UTC, ISO 8601")
    command: list[str]
    git_commit: str | None


class SessionRecord(Record):
    """One process that worked on the run; a resumed run has several."""

    started: str = Field(description="UTC, ISO 8601")
    answered: int | None = Field(default=None, description="null while it runs, and for ever if it was killed")
    seconds: float | None = None
    command: list[str]
    git_commit: str | None
    versions: dict[str, str]
    hardware: dict[str, str | int]
    told: dict[str, str | int] = Field(
        default={},
        description="what answered told of itself: such as a server's own name and the tokens that it counts",
    )


class RunRecord(Record):
    """`run.json`."""

    schema_version: Literal[1] = 1
    task: str
    protocol: str
    model: ModelInfo
    data: DataRecord
    prompt: PromptRecord | None = Field(description="null where imported answers do not say what was asked")
    generation: GenerationRecord | None = Field(description="null for imported answers, which do not say")
    shard: ShardRecord | None = Field(default=None, description="the share that was asked; null: all")
    origin: OriginRecord | None = Field(default=None, description="of imported answers; null for those made here")
    sessions: list[SessionRecord] = Field(default=[])

    @property
    def ablation(self) -> str | None:
        """What was taken away or changed on purpose; None: nothing, or imported answers do not say."""
        return self.generation.ablation if self.generation else None

    def differences(self, other: "RunRecord") -> list[str]:
        """What decides the answers and is not the same in both records, as `name: ours → theirs`.

        What one of them does not say, because it was written before this was recorded, is no difference.
        """
        mine, theirs = _settings(self), _settings(other)
        if None in (mine.get(PROCESSING), theirs.get(PROCESSING)):
            mine[PROCESSING] = theirs[PROCESSING] = None
        names = dict.fromkeys([*mine, *theirs])
        return [
            f"{name}: {mine.get(name)} → {theirs.get(name)}" for name in names if mine.get(name) != theirs.get(name)
        ]


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
        intervals, method = intervals_of(self.samples, protocol.aggregate, protocol.maximum_of)
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


SAME_ANSWERS = ("generate", "prefix")
"""Engines that give the same tokens in float32, which tests hold them to: a run may go on with the other."""


def _settings(record: RunRecord) -> dict[str, Any]:
    model = {name: value for name, value in asdict(record.model).items() if name in _DECISIVE_OF_MODEL}
    if model["backend"] in SAME_ANSWERS and model["dtype"] == "float32":
        model["backend"] = " or ".join(SAME_ANSWERS)
    return {
        "task": record.task,
        "protocol": record.protocol,
        **{f"model.{name}": value for name, value in model.items()},
        "data": f"{record.data.source} ({record.data.samples} samples, {record.data.fingerprint[:15]})",
        "prompts": record.prompt.fingerprint[:15] if record.prompt else None,
        **{f"generation.{name}": value for name, value in (record.generation or ())},
    }


PROCESSING = "model.processing_fingerprint"
_DECISIVE_OF_MODEL = (
    *("name", "weights_fingerprint", "backend", "dtype", "router_noise_seed"),
    *("processing_fingerprint", "picture_tokens", "processor_kwargs", "quantization"),
)

AnyRecord = TypeVar("AnyRecord", bound=Record)


def read_record(kind: type[AnyRecord], path: Path) -> AnyRecord:
    """A record from its file, plain or gzipped.

    Raises:
        UserError: when the file is missing, is not JSON, or does not have the fields of this schema version.
    """
    try:
        content = path.read_bytes()
        return kind.parse(gzip.decompress(content) if path.suffix == ".gz" else content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(f"{path}: {field}: {first['msg']}; {kind.cure}") from error


def write_record(record: Record, path: Path) -> None:
    """Write a record so that a reader sees the old file or the new one, never a half."""
    record = record.sealed() if isinstance(record, ScoresRecord) else record
    write_atomically(path, record.model_dump_json(indent=1) + "\n")
