"""Hashes of the questions that papers score: `python -m bench.official FOLDER > results/official_questions.json`.

FOLDER holds what is left of the real files: LLaVA's released answers of its 13B model (`llava15_13b/`, from LLaVA's
repository at 32cebc38) and its questions of MM-Vet (`mmvet/`). Questions of VQAv2's test-dev could not be had: they are
told by their number. POPE's questions are in the repository.
"""

import gzip
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from moe_eval.images import NamedImage
from moe_eval.official import OfficialPart, part_hash
from moe_eval.registry import find_task
from moe_eval.task import Sample

LLAVA = "LLaVA 32cebc38, playground/data/eval"


def main(folder: Path) -> str:
    """The file's content."""
    answers = folder / "llava15_13b"
    scienceqa = load("scienceqa", answers / "scienceqa.jsonl.gz")
    with_picture = [sample for sample in scienceqa if sample.images]
    mmvet = [sample(f"v1_{row['question_id']}", row["text"]) for row in read(folder / "mmvet" / "llava-mm-vet.jsonl")]
    gqa = [sample(row["question_id"]) for row in read(answers / "gqa_predictions.jsonl.gz")]
    vizwiz = [sample(f"VizWiz_test_{row['question_id']:08d}") for row in read(answers / "vizwiz_m4c_pairs.jsonl.gz")]
    textvqa = [sample(row["question_id"], row["question"]) for row in read(answers / "textvqa_predictions.jsonl.gz")]
    known: list[tuple[str, list[Sample], list[str], str]] = [
        ("gqa", gqa, ["id"], "ids of the released answers to testdev-balanced"),
        ("vizwiz", vizwiz, ["id"], "numbers of the released answers to the test split"),
        ("scienceqa", scienceqa, ["count+pictures+gold"], "released answers with their gold, all test questions"),
        ("scienceqa", with_picture, ["count+pictures+gold"], "released answers with their gold, those with a picture"),
        ("textvqa", textvqa, ["question"], "questions of the released answers to val"),
        ("mme", load("mme", answers / "mme.jsonl.gz"), ["question+gold"], "released answers, gold of MME's eval_tool"),
        (
            "mmbench",
            load("mmbench", answers / "mmbench_dev_20230712.jsonl.gz"),
            ["id", "id+options", "id+gold"],
            "released answers to dev_20230712 with options and gold",
        ),
        ("mmvet", mmvet, ["id", "id+question"], "llava-mm-vet.jsonl"),
    ]
    entries = [
        OfficialPart(
            task=task, samples=len(samples), part=part, sha256=part_hash(samples, part), source=f"{LLAVA}: {source}"
        )
        for task, samples, parts, source in known
        for part in parts
    ]
    entries.append(
        OfficialPart(
            task="vqav2", samples=107_394, part="number", sha256=None, source="no file of test-dev was at hand"
        )
    )
    return "[\n" + ",\n".join(entry.model_dump_json() for entry in entries) + "\n]\n"


def load(task: str, path: Path) -> list[Sample]:
    """Stored answers that carry their gold."""
    return list(find_task(task).sources["answers"](str(path)).samples)


def read(path: Path) -> Iterable[Mapping[str, Any]]:
    """Lines of a file, gzipped or not."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in content.splitlines()]


def sample(name: str, question: str = "") -> Sample:
    """A question of which only that is known."""
    return Sample(name, question, (NamedImage(name),), None, name)


if __name__ == "__main__":
    sys.stdout.write(main(Path(sys.argv[1])))
