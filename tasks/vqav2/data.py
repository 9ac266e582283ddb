"""Where VQAv2's questions come from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from moe_eval.errors import unknown
from moe_eval.images import EncodedImage, ImageRef
from moe_eval.mini.source import mini_dataset
from moe_eval.mini.vqav2 import mini_vqav2
from moe_eval.prompts import SHORT_ANSWER
from moe_eval.sources.annotators import ten_answers
from moe_eval.sources.hub import download_dataset, resolved_revision
from moe_eval.sources.llava import PictureFolder, locate, read_questions
from moe_eval.sources.parquet import read_parquet
from moe_eval.task import Dataset, Sample

SPLITS = {"testdev": 107_394, "validation": 214_354, "test": 447_793}
"""The hub's names of the splits and their sizes; the first is the one that papers report."""

PICTURES = {"testdev": "test2015", "validation": "val2014", "test": "test2015"}
"""Split → COCO's name of its pictures."""

HUB_REPOSITORY = "lmms-lab/VQAv2"

HUB_REVISION = "main"
"""The branch; runs record the commit that it stood for. Pin one with `hub@REVISION`."""


def load_llava(argument: str) -> Dataset:
    """`llava:DIR`: LLaVA's folder with its file of test-dev questions and `test2015/`; or such a file."""
    path = locate("vqav2", argument, "llava_vqav2_mscoco_test-dev2015.jsonl")
    pictures = PictureFolder(path.parent / "test2015")
    samples = [
        Sample(
            id=str(row["question_id"]),
            question=question,
            images=(pictures[row["image"]],),
            gold=None,
            group=row["image"],
        )
        for _, question, row in read_questions("vqav2", path, SHORT_ANSWER)
    ]
    return _dataset(f"llava:{argument}", samples, pictures.exists)


def load_hub(argument: str) -> Dataset:
    """`hub`: test-dev from the Hugging Face hub, `hub:validation` or `hub:test`. `@REVISION` pins."""
    split, _, revision = argument.partition("@")
    split = split or "testdev"
    if split not in SPLITS:
        raise unknown("split of VQAv2", split, SPLITS)
    files = download_dataset(HUB_REPOSITORY, revision or HUB_REVISION, f"data/{split}-*.parquet")
    columns = ["question_id", "image_id", "question", "answers", "question_type", "answer_type"]
    pictures: dict[str, EncodedImage] = {}
    kinds: Kinds = {}
    samples = []
    for row in read_parquet(files, columns, heavy=["image"]):
        values = row.values
        name = f"COCO_{PICTURES[split]}_{values['image_id']:012d}.jpg"
        if name not in pictures:
            pictures[name] = row.picture("image", name)
        samples.append(_sample(values, pictures[name], f"vqav2: {row.path} row {row.number}", kinds))
    return _dataset(f"hub:{split}@{resolved_revision(files, revision or HUB_REVISION)}", samples)


def load_mini(argument: str) -> Dataset:
    """`mini`: twelve questions about each of the pictures that the project draws; `mini:train:COUNT` on other ones."""
    kinds: Kinds = {}
    samples = []
    for scene, row in mini_vqav2(argument):
        sample = _sample(row, scene, f"vqav2: mini: question {row['question_id']}", kinds)
        samples.append(replace(sample, meta={**sample.meta, "response": row["multiple_choice_answer"]}))
    return mini_dataset(argument, samples)


Kinds = dict[tuple[str, str], Mapping[str, str]]
"""One mapping for all samples of a kind: there are a few hundred thousand of them."""


def _sample(values: Mapping[str, Any], picture: ImageRef, where: str, kinds: Kinds) -> Sample:
    question_type, answer_type = values["question_type"] or "", values["answer_type"] or ""
    kind = {"question_type": question_type, "answer_type": answer_type}
    return Sample(
        id=str(values["question_id"]),
        question=values["question"],
        images=(picture,),
        gold=ten_answers(values["answers"], f"{where}: answers"),
        group=picture.name,
        meta=kinds.setdefault((question_type, answer_type), kind),
    )


def _dataset(source: str, samples: Sequence[Sample], has_images: bool = True) -> Dataset:
    split = next((name for name, size in SPLITS.items() if size == len(samples)), None)
    version = f"{len(samples):,} questions of {split or 'an unknown split'}"
    if samples and samples[0].gold is None:
        version += ", whose answers are hidden: `moe-eval submit` writes what the server scores"
    return Dataset(source, version, samples, official=split == "testdev", has_images=has_images)
