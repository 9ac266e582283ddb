"""Where VQAv2's questions come from."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from moe_eval.images import EncodedImage, ImageRef
from moe_eval.mini.source import mini_dataset
from moe_eval.mini.vqav2 import mini_vqav2
from moe_eval.prompts import SHORT_ANSWER
from moe_eval.sources.annotators import dataset_of_split, ten_answers
from moe_eval.sources.hf import hf_rows
from moe_eval.sources.hub import HubFiles, hub_rows
from moe_eval.sources.llava import PictureFolder, locate, read_questions
from moe_eval.sources.rows import Rows
from moe_eval.task import Dataset, Sample

__all__ = ["SPLITS", "load_hf", "load_hub", "load_llava", "load_mini"]


SPLITS = {"testdev": 107_394, "validation": 214_354, "test": 447_793}
"""The hub's names of the splits and their sizes; the first is the one that papers report."""

HUB = {split: HubFiles("lmms-lab/VQAv2", f"data/{split}-*.parquet") for split in SPLITS}
COLUMNS = ["question_id", "image_id", "question", "answers", "question_type", "answer_type"]

PICTURES = {"testdev": "test2015", "validation": "val2014", "test": "test2015"}
"""Split → COCO's name of its pictures."""


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
    return dataset_of_split(f"llava:{argument}", samples, SPLITS, server=True, has_images=pictures.exists)


def load_hub(argument: str) -> Dataset:
    """`hub`: test-dev from the Hugging Face hub, `hub:validation` or `hub:test`. `@REVISION` pins."""
    return _of_rows(hub_rows("vqav2", argument, HUB, COLUMNS))


def load_hf(argument: str) -> Dataset:
    """`hf:ORG/NAME[@REVISION][:SPLIT]`: the columns of lmms-lab/VQAv2, from any data set."""
    return _of_rows(hf_rows("vqav2", argument, COLUMNS))


def _of_rows(rows: Rows) -> Dataset:
    pictures: dict[str, EncodedImage] = {}
    kinds: Kinds = {}
    samples = []
    for row in rows.rows:
        name = f"COCO_{PICTURES.get(rows.split, rows.split)}_{row.values['image_id']:012d}.jpg"
        if name not in pictures:
            pictures[name] = row.picture("image", name)
        samples.append(_sample(row.values, pictures[name], row.where, kinds))
    return dataset_of_split(rows.source, samples, SPLITS, server=True)


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
