"""Where VizWiz's questions come from."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from moe_eval.mini.source import mini_dataset
from moe_eval.mini.vizwiz import mini_vizwiz
from moe_eval.prompts import UNANSWERABLE, short_answer
from moe_eval.sources.annotators import dataset_of_split, parse_list, ten_answers
from moe_eval.sources.hf import hf_rows
from moe_eval.sources.hub import HubFiles, hub_rows
from moe_eval.sources.llava import PictureFolder, check_texts, locate, read_json, read_questions
from moe_eval.sources.rows import Rows
from moe_eval.sources.tsv import read_tsv
from moe_eval.task import Dataset, Sample

__all__ = ["answer_id", "load_hf", "load_hub", "load_llava", "load_mini", "load_tsv"]


SPLITS = {"test": 8_000, "val": 4_319}
"""The hub's names of the splits and their sizes; the first is the one that papers report."""

HUB = {split: HubFiles("lmms-lab/VizWiz-VQA", f"data/{split}-*.parquet") for split in SPLITS}
COLUMNS = ["question_id", "question", "answers", "category"]


def load_llava(argument: str) -> Dataset:
    """`llava:DIR`: LLaVA's folder with `llava_test.jsonl` and `test/`; `llava:DIR/val.json`: annotations, `val/`."""
    path = locate("vizwiz", argument, "llava_test.jsonl")
    pictures = PictureFolder(path.parent / (path.stem if path.suffix == ".json" else "test"))
    rows = _annotated(path) if path.suffix == ".json" else _asked(path)
    samples = [
        _sample(row["image"], question, pictures[row["image"]], answers, row.get("answer_type"))
        for question, answers, row in rows
    ]
    return dataset_of_split(f"llava:{argument}", samples, SPLITS, server=True, has_images=pictures.exists)


def _asked(path: Path) -> Any:
    for _, question, row in read_questions("vizwiz", path, short_answer(UNANSWERABLE)):
        yield question, None, row


def _annotated(path: Path) -> Any:
    for number, row in enumerate(read_json("vizwiz", path, list), start=1):
        where = f"vizwiz: {path} record {number}"
        check_texts(row, ("image", "question"), where)
        yield row["question"], ten_answers(row.get("answers"), f"{where}: answers"), row


def load_hub(argument: str) -> Dataset:
    """`hub`: the test split from the Hugging Face hub, or `hub:val`. `@REVISION` pins."""
    return _of_rows(hub_rows("vizwiz", argument, HUB, COLUMNS))


def load_hf(argument: str) -> Dataset:
    """`hf:ORG/NAME[@REVISION][:SPLIT]`: the columns of lmms-lab/VizWiz-VQA, from any data set."""
    return _of_rows(hf_rows("vizwiz", argument, COLUMNS))


def _of_rows(rows: Rows) -> Dataset:
    samples = []
    for row in rows.rows:
        image = f"{Path(str(row.values['question_id'])).stem}.jpg"
        answers = ten_answers(row.values["answers"], f"{row.where}: answers")
        picture, category = row.picture("image", image), row.values["category"]
        samples.append(_sample(image, row.values["question"], picture, answers, category))
    return dataset_of_split(rows.source, samples, SPLITS, server=True)


def load_tsv(argument: str) -> Dataset:
    """`tsv:FILE`: VLMEvalKit's `VizWiz.tsv`."""
    samples = []
    for row in read_tsv(Path(argument), ["question", "answers"]):
        where = f"vizwiz: {argument} line {row.line}: answers"
        answers = ten_answers(parse_list(row.text("answers"), where), where)
        index = row.text("index")
        samples.append(Sample(index, row.text("question"), (row.image,), answers, row.image.name))
    return dataset_of_split(f"tsv:{argument}", samples, SPLITS, server=True)


def load_mini(argument: str) -> Dataset:
    """`mini`: photos that the project draws, some of them blurred or dark; `mini:train:COUNT`: other ones."""
    samples = []
    for number, (scene, row) in enumerate(mini_vizwiz(argument)):
        answers = ten_answers(row["answers"], f"vizwiz: mini: row {number}: answers")
        sample = _sample(row["image"], row["question"], scene, answers, row["answer_type"])
        numbered = f"{sample.id}:{number}" if argument else sample.id  # training asks several questions about a photo
        samples.append(replace(sample, id=numbered, meta={**sample.meta, "response": row["response"]}))
    return mini_dataset(argument, samples)


def _sample(image: str, question: str, picture: Any, answers: Any, answer_type: str | None) -> Sample:
    meta = {"answer_type": answer_type} if answer_type and answers else {}
    return Sample(Path(image).stem, question, (picture,), answers, group=image, meta=meta)


def answer_id(answer: Mapping[str, Any]) -> str:
    """LLaVA numbers the questions as the test pictures are numbered; others name them by their picture."""
    number = str(answer["question_id"])
    return f"VizWiz_test_{int(number):08d}" if number.isdecimal() else Path(number).stem
