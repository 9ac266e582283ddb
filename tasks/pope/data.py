"""Where POPE's questions come from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError, unknown
from moe_eval.files.jsonl import read_jsonl
from moe_eval.images import ImageFile, ImageRef, NamedImage
from moe_eval.mini.pope import mini_pope
from moe_eval.sources.hf import hf_rows
from moe_eval.sources.hub import HubFiles, hub_rows
from moe_eval.sources.llava import check_texts
from moe_eval.sources.rows import Row
from moe_eval.sources.tsv import read_tsv
from moe_eval.task import Dataset, Sample

from .scoring import CATEGORIES, prompt

__all__ = ["HUB", "answer_id", "load_hf", "load_hub", "load_llava", "load_mini", "load_official", "load_tsv"]


VERSIONS = {"old": "e3e39262", "new": "3df3ba1"}
"""Our names of the question files → the commit of RUCAIBox/POPE that they are from."""

_HUB = HubFiles(
    "lmms-lab/POPE",
    "data/test-*.parquet",
    "4db1276663dfa5eb8ad16a52d24c31a09e470896",  # the upload of its `Full` config, from the hub's public listing
)
HUB = {"old": _HUB, "new": _HUB}
COLUMNS = ["question_id", "question", "answer", "image_source", "category"]


@cache
def load_official(argument: str) -> Dataset:
    """`official` or `official:new`: the shipped questions, without pictures, for scoring stored answers."""
    name = argument or "old"
    if name not in VERSIONS:
        raise unknown("version of POPE", name, VERSIONS)
    rows = read_jsonl(Path(__file__).parent / f"{VERSIONS[name]}.jsonl.gz")
    return Dataset(
        source=f"official:{name}",
        version=_describe(name),
        samples=[_sample(row, row["category"]) for _, row in rows],
        official=name == "old",
        has_images=False,
    )


def load_llava(argument: str) -> Dataset:
    """`llava:DIR`: LLaVA's folder, with `coco/coco_pope_*.json`, `val2014/` and perhaps `llava_pope_test.jsonl`."""
    if not argument:
        raise UserError("pope: llava needs a folder: --data llava:playground/data/eval/pope")
    folder = Path(argument)
    samples = []
    for category in CATEGORIES:
        labels = folder / "coco" / f"coco_pope_{category}.json"
        if not labels.is_file():
            raise UserError(f"pope: {labels} is missing; llava:DIR wants LLaVA's layout of eval/pope")
        for line, row in read_jsonl(labels):
            _check_columns(row, f"{labels} line {line}")
            samples.append(
                _sample(row, category, ImageFile(folder / "val2014" / str(row["image"]), folder / "val2014"))
            )
    _check_questions(folder / "llava_pope_test.jsonl", samples)
    return _recognised(f"llava:{argument}", samples)


def load_hub(argument: str) -> Dataset:
    """`hub`: the 8,910 questions joined to the hub's pictures; `hub:new`: the hub's own 9,000. `@REVISION` pins."""
    rows = hub_rows("pope", argument, HUB, COLUMNS)
    pictures: dict[str, ImageRef] = {}
    samples = [_of_row(row, pictures) for row in rows.rows]
    if rows.split == "old":
        samples = [
            replace(sample, images=(_joined(pictures, sample.group, rows.revision),))
            for sample in load_official("old").samples
        ]
    return _recognised(rows.source, samples)


def load_hf(argument: str) -> Dataset:
    """`hf:ORG/NAME[@REVISION][:SPLIT]`: the columns of lmms-lab/POPE, from any data set."""
    rows = hf_rows("pope", argument, COLUMNS)
    pictures: dict[str, ImageRef] = {}
    return _recognised(rows.source, [_of_row(row, pictures) for row in rows.rows])


def _of_row(row: Row, pictures: dict[str, ImageRef]) -> Sample:
    image = f"{Path(row.values['image_source']).stem}.jpg"
    picture = pictures.setdefault(image, row.picture("image", image))
    values = {**row.values, "text": row.values["question"], "label": row.values["answer"]}
    return _sample(values, row.values["category"], picture)


def load_tsv(argument: str) -> Dataset:
    """`tsv:FILE`: VLMEvalKit's `POPE.tsv`, which has a question of several categories once."""
    samples = []
    for row in read_tsv(Path(argument), ["question", "answer", "category"]):
        gold = row.text("answer").lower()
        if gold not in ("yes", "no"):
            raise UserError(f"pope: {argument} line {row.line}: answer {row.text('answer')!r} is neither Yes nor No")
        categories = row.text("category")
        unknown_ones = set(categories.split(",")) - CATEGORIES.keys()
        if unknown_ones:
            raise UserError(f"pope: {argument} line {row.line}: category {min(unknown_ones)!r} is not one of POPE's")
        meta = {"category": categories}
        samples.append(Sample(row.text("index"), row.text("question"), (row.image,), gold, row.image.name, meta))
    version = f"{len(samples):,} questions of VLMEvalKit's file, each asked once for all its categories"
    return Dataset(f"tsv:{argument}", version, samples, official=False)


def load_mini(argument: str) -> Dataset:
    """`mini`: POPE's own sampling over pictures that the project draws; `mini:train:COUNT` on COUNT other ones."""
    samples = []
    for scene, row in mini_pope(argument):
        sample = _sample(row, row["category"], scene)
        samples.append(replace(sample, meta={**sample.meta, "response": row["label"].capitalize()}))
    scenes = {sample.group for sample in samples}
    version = f"{len(samples):,} generated questions on {len(scenes):,} drawn scenes"
    return Dataset(f"mini:{argument}" if argument else "mini", version, samples, official=False)


def _sample(row: Mapping[str, Any], category: str, image: ImageRef | None = None) -> Sample:
    image = image or NamedImage(row["image"])
    return Sample(
        id=str(CATEGORIES[category] + int(row["question_id"])),
        question=row["text"],
        images=(image,),
        gold=row["label"],
        group=image.name,
        meta={"category": category},
    )


def _check_columns(row: Mapping[str, Any], where: str) -> None:
    missing = {"question_id", "image", "text", "label"} - set(row)
    if missing:
        raise UserError(f"pope: {where} lacks {', '.join(sorted(missing))}; a POPE label file has all four")
    check_texts(row, ("image", "text"), f"pope: {where}")
    if not str(row["question_id"]).isdecimal():
        raise UserError(f"pope: {where}: question_id {row['question_id']!r} is not a number")
    if row["label"] not in ("yes", "no"):
        raise UserError(f"pope: {where}: label {row['label']!r} is neither 'yes' nor 'no'")


def _check_questions(path: Path, samples: Sequence[Sample]) -> None:
    """The file of questions that LLaVA asks must hold those that the label files score."""
    if not path.is_file():
        return
    asked = {str(row.get("question_id")): row.get("text") for _, row in read_jsonl(path)}
    expected = {sample.id: prompt(sample) for sample in samples}
    wrong = [
        sample_id for sample_id in expected.keys() | asked.keys() if asked.get(sample_id) != expected.get(sample_id)
    ]
    if wrong:
        raise UserError(
            f"pope: {path} ({len(asked)} questions) and the labels in {path.parent / 'coco'} ({len(expected)}) differ "
            f"in {len(wrong)} questions, such as {min(wrong, key=int)}: they are of two versions; "
            f"LLaVA's go with POPE commit {VERSIONS['old']}"
        )


def _joined(pictures: Mapping[str, ImageRef], image: str, revision: str) -> ImageRef:
    if image not in pictures:
        raise UserError(f"pope: {_HUB.repository} at {revision[:12]} lacks picture {image}; try another hub@REVISION")
    return pictures[image]


def _recognised(source: str, samples: Sequence[Sample]) -> Dataset:
    """The data set, called by its version if it is one of the two that we know."""
    dataset = Dataset(source, f"{len(samples):,} questions of an unknown version", samples, official=False)
    for name in VERSIONS:
        if dataset.fingerprint == load_official(name).fingerprint:
            return replace(dataset, version=_describe(name), official=name == "old")
    return dataset


def _describe(name: str) -> str:
    what = {
        "old": "8,910 questions, as the papers score",
        "new": "9,000 newer questions, not the papers' 8,910",
    }
    return f"{what[name]} (POPE {VERSIONS[name]})"


def answer_id(answer: Mapping[str, Any]) -> str:
    """Sample id of a LLaVA answer: `question_id` is global, or counts from 1 in the answer's `category`."""
    number = int(answer["question_id"])
    offset = CATEGORIES.get(answer.get("category", ""), 0)
    return str(number if number > offset else number + offset)
