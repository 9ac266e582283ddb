"""`run.json`: how answers were made."""

from dataclasses import asdict
from typing import Any, Literal

from pydantic import Field

from moe_eval.engine.backend import ModelInfo
from moe_eval.files.record import Record
from moe_eval.runs.records.data import DataRecord, PromptRecord, ShardRecord

__all__ = ["SAME_ANSWERS", "GenerationRecord", "ImportedFile", "OriginRecord", "RunRecord", "SessionRecord"]


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
