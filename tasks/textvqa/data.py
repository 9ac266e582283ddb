"""Where TextVQA's questions come from."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError
from moe_eval.images import EncodedImage, ImageRef
from moe_eval.mini.source import mini_dataset
from moe_eval.mini.textvqa import mini_textvqa
from moe_eval.prompts import SHORT_ANSWER
from moe_eval.sources.annotators import dataset_of_split, parse_list, ten_answers
from moe_eval.sources.hf import hf_rows
from moe_eval.sources.hub import HubFiles, hub_rows
from moe_eval.sources.llava import PictureFolder, check_texts, locate, read_json, read_questions
from moe_eval.sources.rows import Rows
from moe_eval.sources.tsv import read_tsv
from moe_eval.task import Dataset, Sample

from .scoring import OCR_LINE

__all__ = ["answer_id", "load_hf", "load_hub", "load_llava", "load_mini", "load_tsv", "question_of_prompt"]


SPLITS = {"validation": 5_000, "test": 5_734, "train": 34_602}
"""The hub's names of the splits and their sizes; the first is the one that papers report."""

HUB = {split: HubFiles("lmms-lab/textvqa", f"data/{split}-*.parquet") for split in SPLITS}
COLUMNS = ["image_id", "question", "answers", "ocr_tokens"]


def load_llava(argument: str) -> Dataset:
    """`llava:DIR`: LLaVA's folder, with `TextVQA_0.5.1_val.json` and `train_images/`."""
    path = locate("textvqa", argument, "llava_textvqa_val_v051_ocr.jsonl")
    pictures = PictureFolder(path.parent / "train_images")
    annotations = path.parent / "TextVQA_0.5.1_val.json"
    gold = _read_annotations(annotations)
    samples = []
    for where, text, row in read_questions("textvqa", path, SHORT_ANSWER):
        question, line, ocr = text.partition(f"\n{OCR_LINE}")
        if not line:
            raise UserError(f"{where}: text has no line {OCR_LINE!r}; LLaVA's questions with OCR tokens are wanted")
        sample_id = _id(row["question_id"], question)
        if sample_id not in gold:
            raise UserError(f"{where}: {annotations} has no question {question!r} about picture {row['question_id']}")
        samples.append(_sample(sample_id, question, pictures[row["image"]], gold[sample_id], {"ocr": ocr}))
    return dataset_of_split(f"llava:{argument}", samples, SPLITS, has_images=pictures.exists)


def load_hub(argument: str) -> Dataset:
    """`hub`: the validation split from the Hugging Face hub, with OCR tokens; or `hub:test`. `@REVISION` pins."""
    return _of_rows(hub_rows("textvqa", argument, HUB, COLUMNS))


def load_hf(argument: str) -> Dataset:
    """`hf:ORG/NAME[@REVISION][:SPLIT]`: the columns of lmms-lab/textvqa, from any data set."""
    return _of_rows(hf_rows("textvqa", argument, COLUMNS))


def _of_rows(rows: Rows) -> Dataset:
    pictures: dict[str, EncodedImage] = {}
    samples = []
    for row in rows.rows:
        image = f"{row.values['image_id']}.jpg"
        if image not in pictures:
            pictures[image] = row.picture("image", image)
        samples.append(_of_hub(row.values, pictures[image], row.where))
    return dataset_of_split(rows.source, samples, SPLITS)


def load_tsv(argument: str) -> Dataset:
    """`tsv:FILE`: VLMEvalKit's `TextVQA_VAL.tsv`, which has no OCR tokens."""
    samples = []
    for row in read_tsv(Path(argument), ["question", "answer"]):
        where = f"textvqa: {argument} line {row.line}: answer"
        answers = ten_answers(parse_list(row.text("answer"), where), where)
        samples.append(_sample(row.text("index"), row.text("question"), row.image, answers, {}))
    return dataset_of_split(f"tsv:{argument}", samples, SPLITS)


def load_mini(argument: str) -> Dataset:
    """`mini`: signs in pictures that the project draws, with OCR tokens; `mini:train:COUNT`: other ones."""
    samples = []
    for scene, row in mini_textvqa(argument):
        sample = _of_hub(row, scene, f"textvqa: mini: question {row['question_id']}")
        samples.append(replace(sample, meta={**sample.meta, "response": row["response"]}))
    return mini_dataset(argument, samples)


def _of_hub(values: Mapping[str, Any], picture: ImageRef, where: str) -> Sample:
    answers = ten_answers(values["answers"], f"{where}: answers")
    meta = {"ocr": ", ".join(values["ocr_tokens"] or ())}
    return _sample(_id(values["image_id"], values["question"]), values["question"], picture, answers, meta)


def question_of_prompt(prompt: str) -> str:
    """The question in a prompt that LLaVA stored, in lower case: with it and the picture it finds the annotation.

    Raises:
        ValueError: for a prompt that LLaVA's scorer does not understand either.
    """
    lines = prompt.split("\n")
    if prompt.startswith("OCR tokens: "):
        match = re.search("Question: (.*?) Short answer:", prompt, re.DOTALL)
        if match:
            return match[1].lower()
    elif OCR_LINE in prompt and len(lines) == 3:
        return lines[1 if prompt.startswith(OCR_LINE.rstrip()) else 0].lower()
    elif len(lines) == 2:
        return lines[0].lower()
    raise ValueError(f"no TextVQA question in the prompt {prompt[:80]!r}")


def answer_id(answer: Mapping[str, Any]) -> str:
    """LLaVA's `question_id` is the picture's; which of its questions was asked, the stored `prompt` says."""
    question = answer["question"] if "question" in answer else question_of_prompt(answer["prompt"])
    return _id(answer["question_id"], question)


def _id(image_id: Any, question: str) -> str:
    return f"{image_id}:{question.lower()}"


def _read_annotations(path: Path) -> dict[str, tuple[str, ...] | None]:
    records = read_json("textvqa", path, dict).get("data")
    if not isinstance(records, list):
        raise UserError(f"textvqa: {path}: no list under 'data'; is it TextVQA's annotation file?")
    gold = {}
    for number, record in enumerate(records, start=1):
        where = f"textvqa: {path} record {number}"
        check_texts(record, ("image_id", "question"), where)
        gold[_id(record["image_id"], record["question"])] = ten_answers(record.get("answers"), f"{where}: answers")
    return gold


def _sample(
    sample_id: str, question: str, picture: ImageRef, answers: tuple[str, ...] | None, meta: Mapping[str, str]
) -> Sample:
    return Sample(sample_id, question, (picture,), answers, group=picture.name, meta=meta)
