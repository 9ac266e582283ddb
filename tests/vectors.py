"""Reading scoring vectors: a folder per benchmark, `expected.json` and `NAME.jsonl`, plain or gzipped, in each."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moe_eval.files.jsonl import read_jsonl

__all__ = ["read_expected", "read_vectors"]


def read_vectors(folder: Path, name: str = "samples") -> Iterator[dict[str, Any]]:
    """The lines of `name.jsonl` or `name.jsonl.gz`; none if there is no such file."""
    path = next((p for p in (folder / f"{name}.jsonl.gz", folder / f"{name}.jsonl") if p.exists()), None)
    for _, vector in read_jsonl(path) if path else ():
        yield vector


def read_expected(folder: Path) -> dict[str, Any]:
    """The aggregates of the original scorers."""
    return json.loads((folder / "expected.json").read_text(encoding="utf-8"))["aggregates"]
