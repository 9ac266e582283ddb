"""What a run leaves on disk: `run.json` (how answers were made) and `scores.json` (what they are worth).

The JSON Schemas in `moe_eval/runs/schemas/` are generated from these models: `python -m moe_eval.runs.schema_files` writes them.
"""

from moe_eval.files.record import Record
from moe_eval.runs.records.data import DataRecord, PromptRecord, ShardRecord, prompt_fingerprint
from moe_eval.runs.records.files import read_record, write_record
from moe_eval.runs.records.run import (
    SAME_ANSWERS,
    GenerationRecord,
    ImportedFile,
    OriginRecord,
    RunRecord,
    SessionRecord,
)
from moe_eval.runs.records.scores import HeadlineRecord, ScoresRecord
from moe_eval.statistics.interval import IntervalMethodRecord, IntervalRecord

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
