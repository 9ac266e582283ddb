"""Run folders as `moe-eval run` leaves them, with the numbers that a test wants, without answering anything."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from moe_eval.engine.backend import ModelInfo
from moe_eval.runs.records import (
    DataRecord,
    GenerationRecord,
    HeadlineRecord,
    PromptRecord,
    RunRecord,
    ScoresRecord,
    write_record,
)
from tests.fake_backend import FAKE_MODEL

__all__ = ["OFFICIAL_DATA", "OTHER_DATA", "TRAINED_MODEL", "write_run"]

TRAINED_MODEL = replace(FAKE_MODEL, random_weights=False)

OFFICIAL_DATA = DataRecord(source="hub", version="as papers", fingerprint="sha256:papers", samples=4, official=True)
OTHER_DATA = DataRecord(source="mini", version="4 generated", fingerprint="sha256:mini", samples=4, official=False)


def write_run(
    folder: Path,
    task: str,
    value: float | None,
    *,
    model: ModelInfo = TRAINED_MODEL,
    data: DataRecord = OFFICIAL_DATA,
    protocol: str = "llava",
    metrics: Mapping[str, Any] | None = None,
    headline: str = "score",
    samples: list[dict[str, Any]] | None = None,
    generation: GenerationRecord | None = None,
    **scores: Any,
) -> Path:
    """A finished run with that headline number; `scores` are further fields of `scores.json`."""
    folder.mkdir(parents=True)
    run = RunRecord(
        task=task,
        protocol=protocol,
        model=model,
        data=data,
        prompt=PromptRecord(fingerprint="sha256:prompts", example="What is this?"),
        generation=generation or GenerationRecord(max_new_tokens=16, pad_images=True),
    )
    write_record(run, folder / "run.json")
    record = ScoresRecord(
        task=task,
        protocol=protocol,
        data=data,
        headline=HeadlineRecord(name=headline, value=value),
        metrics=dict(metrics or {}),
        samples=samples or [],
        **scores,
    )
    write_record(record, folder / "scores.json")
    return folder
