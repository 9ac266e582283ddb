"""The JSON Schemas of what a run leaves on disk, made from the records: `python -m moe_eval.runs.schema_files`."""

import json
from pathlib import Path

from moe_eval.files.record import Record
from moe_eval.runs.records import RunRecord, ScoresRecord
from moe_eval.runs.routing import RoutingRecord

__all__ = ["SCHEMA_FOLDER", "write_schemas"]

SCHEMA_FOLDER = Path(__file__).parent / "schemas"


def write_schemas(folder: Path = SCHEMA_FOLDER) -> None:
    """Write the JSON Schemas of all records."""
    kinds: dict[str, type[Record]] = {"run": RunRecord, "scores": ScoresRecord, "routing": RoutingRecord}
    for name, kind in kinds.items():
        schema = json.dumps(kind.model_json_schema(), indent=1)
        (folder / f"{name}.schema.json").write_text(schema + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_schemas()
