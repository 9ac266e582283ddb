"""What a split of VQAv2's size costs to open, as Parquet and through `datasets`: `python -m bench.hub_data`.

Questions and pictures are made up (bytes that no compression makes smaller); each way runs in a process of its own, the
one through `datasets` twice: the first time it writes its Arrow copy.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import pyarrow as pa
from pyarrow import parquet

SCHEMA = pa.schema(
    {
        "question_id": pa.int64(),
        "image_id": pa.int64(),
        "question": pa.string(),
        "answers": pa.list_(pa.struct({"answer": pa.string()})),
        "question_type": pa.string(),
        "answer_type": pa.string(),
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    }
)
ROW_GROUP = 1_000


def rows(start: int, stop: int, picture_bytes: int) -> Iterator[dict[str, Any]]:
    for number in range(start, stop):
        picture = number // 3  # as in VQAv2: some three questions about a picture, which the hub repeats in each row
        yield {
            "question_id": number,
            "image_id": picture,
            "question": f"What stands at place {number % 3} of picture {picture}?",
            "image": {"bytes": os.urandom(picture_bytes), "path": f"{picture}.jpg"},
        }


def write_split(folder: Path, questions: int, picture_bytes: int) -> None:
    with parquet.ParquetWriter(folder / "testdev-00000-of-00001.parquet", SCHEMA) as writer:
        for start in range(0, questions, ROW_GROUP):
            some = list(rows(start, min(start + ROW_GROUP, questions), picture_bytes))
            writer.write_table(pa.Table.from_pylist(some, schema=SCHEMA))


def measure(way: str, folder: Path) -> dict[str, Any]:
    """Time to open and to read 1,000 pictures in order, and peak memory of this process."""
    from moe_eval.tasks.vqav2.data import load_hf, load_hub

    start = time.perf_counter()
    if way == "parquet":
        with mock.patch("moe_eval.sources.hub.download_dataset", return_value=sorted(folder.glob("*.parquet"))):
            data = load_hub("testdev")
    else:
        data = load_hf(str(folder))
    opened = time.perf_counter()
    for sample in data.samples[:3000:3]:
        sample.images[0].read()
    read = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"open_s": round(opened - start, 2), "read_1000_s": round(read - opened, 2), "peak_mib": round(peak)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.hub_data", description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=107_394, help="VQAv2 test-dev has 107,394")
    parser.add_argument("--picture-bytes", type=int, default=20_000)
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)  # what this process is started with by itself
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure[0], Path(options.measure[1]))))
        return
    with TemporaryDirectory() as name:
        folder, home = Path(name) / "split", Path(name) / "home"
        folder.mkdir()
        write_split(folder, options.questions, options.picture_bytes)
        found: dict[str, Any] = {"questions": options.questions, "picture_bytes": options.picture_bytes}
        for title, way in (("parquet", "parquet"), ("datasets, first", "datasets"), ("datasets, again", "datasets")):
            command = [sys.executable, "-m", "bench.hub_data", "--measure", way, str(folder)]
            environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            copy = sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) if home.is_dir() else 0
            found[title] = {**json.loads(done.stdout.splitlines()[-1]), "copy_mib": round(copy / 2**20)}
            print(title, found[title], flush=True)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
