"""Where MM-Vet's questions come from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError
from moe_eval.files.jsonl import read_jsonl
from moe_eval.images import ImageFile, ImageRef, NamedImage
from moe_eval.mini.mmvet import mini_mmvet
from moe_eval.sources.hf import hf_rows
from moe_eval.sources.hub import HubFiles, hub_rows
from moe_eval.sources.llava import check_fields, check_texts, locate, read_json
from moe_eval.sources.rows import Rows
from moe_eval.sources.stored import read_stored
from moe_eval.sources.tsv import read_tsv
from moe_eval.task import (
    Dataset,
    Sample,
)

__all__ = ["GRADER", "answer_id", "load_answers", "load_hf", "load_hub", "load_llava", "load_mini", "load_tsv"]


HUB = {"test": HubFiles("lmms-lab/MMVet", "data/test-*.parquet")}
COLUMNS = ["question_id", "question", "answer", "capability"]

GRADER = "share of the reference's parts, no judge"
"""Who grades generated samples as long as no judge has."""


def load_answers(argument: str) -> Dataset:
    """`answers:FILE`: what was asked, from stored answers that carry their grades (question_id, grades)."""
    samples = []
    for where, row in read_stored("mmvet", argument, ("question_id", "grades")):
        grades = row["grades"]
        if not isinstance(grades, list) or not all(
            isinstance(value, int | float) and 0 <= value <= 1 for value in grades
        ):
            raise UserError(f"{where}: grades must be a list of numbers from 0 to 1, not {grades!r}")
        name = _name(row["question_id"])
        samples.append(_sample(name, "", None, row.get("capability"), NamedImage(name), grades=tuple(grades)))
    return _dataset(f"answers:{argument}", samples, has_images=False)


def load_llava(argument: str) -> Dataset:
    """`llava:DIR`: LLaVA's folder, with `llava-mm-vet.jsonl`, `images/`, and `mm-vet.json`, which the judge needs."""
    path = locate("mmvet", argument, "llava-mm-vet.jsonl")
    metadata = path.parent / "mm-vet.json"
    known = read_json("mmvet", metadata, dict) if metadata.is_file() else {}
    samples = []
    for line, row in read_jsonl(path):
        where = f"mmvet: {path} line {line}"
        check_fields(row, ("question_id", "image", "text"), where)
        check_texts(row, ("image", "text"), where)
        name = _name(row["question_id"])
        truth = known.get(name, {})
        if known:
            check_fields(truth, ("answer", "capability"), f"mmvet: {metadata} id {name}")
            if not isinstance(truth["capability"], str | list):
                raise UserError(
                    f"mmvet: {metadata} id {name}: capability is {truth['capability']!r}, not a list of abilities"
                )
        image = ImageFile(path.parent / "images" / str(row["image"]), path.parent / "images")
        samples.append(_sample(name, row["text"], truth.get("answer"), truth.get("capability"), image))
    return _dataset(f"llava:{argument}", samples)


def load_tsv(argument: str) -> Dataset:
    """`tsv:FILE`: VLMEvalKit's MMVet.tsv."""
    samples = [
        _sample(_name(row.text("index")), row.text("question"), row.text("answer"), row.text("category"), row.image)
        for row in read_tsv(Path(argument), ["question", "answer", "category"])
    ]
    return _dataset(f"tsv:{argument}", samples)


def load_hub(argument: str) -> Dataset:
    """`hub`: lmms-lab/MMVet. `hub@REVISION` takes another revision than the pinned one."""
    return _of_rows(hub_rows("mmvet", argument, HUB, COLUMNS))


def load_hf(argument: str) -> Dataset:
    """`hf:ORG/NAME[@REVISION][:SPLIT]`: the columns of lmms-lab/MMVet, from any data set."""
    return _of_rows(hf_rows("mmvet", argument, COLUMNS))


def _of_rows(rows: Rows) -> Dataset:
    samples = []
    for row in rows.rows:
        values, name = row.values, _name(row.values["question_id"])
        picture = row.picture("image", name)
        samples.append(_sample(name, values["question"], values["answer"], values["capability"], picture))
    return _dataset(rows.source, samples)


def load_mini(argument: str) -> Dataset:
    """`mini`: questions about drawn pictures, graded without a judge; `mini:train:COUNT` about COUNT other ones."""
    samples = []
    for scene, row in mini_mmvet(argument):
        sample = _sample(row["id"], row["question"], row["answer"], row["capability"], scene)
        samples.append(replace(sample, meta={**sample.meta, "grader": GRADER, "response": row["response"]}))
    scenes = {scene.name for sample in samples for scene in sample.images}
    version = f"{len(samples):,} generated questions on {len(scenes):,} drawn scenes"
    return Dataset(f"mini:{argument}" if argument else "mini", version, samples, official=False)


def _name(question_id: Any) -> str:
    """`v1_7` of what LLaVA and VLMEvalKit call 7."""
    name = str(question_id)
    return f"v1_{name}" if name.isdecimal() else name


def _sample(
    name: str,
    question: str,
    answer: str | None,
    capability: str | Sequence[str] | None,
    image: ImageRef,
    grades: tuple[float, ...] = (),
) -> Sample:
    capabilities = capability.split(",") if isinstance(capability, str) else capability or ()
    meta = {"capabilities": tuple(one.strip() for one in capabilities), **({"grades": grades} if grades else {})}
    return Sample(id=name, question=question, images=(image,), gold=answer, group=image.name, meta=meta)


def _dataset(source: str, samples: Sequence[Sample], has_images: bool = True) -> Dataset:
    official = len(samples) == 218
    version = "all 218 questions" if official else f"{len(samples):,} questions, not MM-Vet's 218"
    return Dataset(source, version, samples, official, has_images)


def answer_id(answer: Mapping[str, Any]) -> str:
    return _name(answer["question_id"])
