"""Where VizWiz's questions come from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from moe_eval.errors import unknown
from moe_eval.mini.source import mini_dataset
from moe_eval.mini.vizwiz import mini_vizwiz
from moe_eval.prompts import UNANSWERABLE, short_answer
from moe_eval.sources.annotators import parse_list, ten_answers
from moe_eval.sources.hub import download_dataset, resolved_revision
from moe_eval.sources.llava import PictureFolder, check_texts, locate, read_json, read_questions
from moe_eval.sources.parquet import read_parquet
from moe_eval.sources.tsv import read_tsv
from moe_eval.task import Dataset, Sample

SPLITS = {"test": 8_000, "val": 4_319}
"""The hub's names of the splits and their sizes; the first is the one that papers report."""

HUB_REPOSITORY = "lmms-lab/VizWiz-VQA"

HUB_REVISION = "main"
"""The branch; runs record the commit that it stood for. Pin one with `hub@REVISION`."""


def load_llava(argument: str) -> Dataset:
    """`llava:DIR`: LLaVA's folder with `llava_test.jsonl` and `test/`; `llava:DIR/val.json`: annotations, `val/`."""
    path = locate("vizwiz", argument, "llava_test.jsonl")
    pictures = PictureFolder(path.parent / (path.stem if path.suffix == ".json" else "test"))
    rows = _annotated(path) if path.suffix == ".json" else _asked(path)
    samples = [
        _sample(row["image"], question, pictures[row["image"]], answers, row.get("answer_type"))
        for question, answers, row in rows
    ]
    return _dataset(f"llava:{argument}", samples, pictures.exists)


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
    split, _, revision = argument.partition("@")
    split = split or "test"
    if split not in SPLITS:
        raise unknown("split of VizWiz", split, SPLITS)
    files = download_dataset(HUB_REPOSITORY, revision or HUB_REVISION, f"data/{split}-*.parquet")
    samples = []
    for row in read_parquet(files, ["question_id", "question", "answers", "category"], heavy=["image"]):
        image = f"{Path(str(row.values['question_id'])).stem}.jpg"
        answers = ten_answers(row.values["answers"], f"vizwiz: {row.path} row {row.number}: answers")
        samples.append(
            _sample(image, row.values["question"], row.picture("image", image), answers, row.values["category"])
        )
    return _dataset(f"hub:{split}@{resolved_revision(files, revision or HUB_REVISION)}", samples)


def load_tsv(argument: str) -> Dataset:
    """`tsv:FILE`: VLMEvalKit's `VizWiz.tsv`."""
    samples = []
    for row in read_tsv(Path(argument), ["question", "answers"]):
        where = f"vizwiz: {argument} line {row.line}: answers"
        answers = ten_answers(parse_list(row.text("answers"), where), where)
        index = row.text("index")
        samples.append(Sample(index, row.text("question"), (row.image,), answers, row.image.name))
    return _dataset(f"tsv:{argument}", samples)


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


def _dataset(source: str, samples: Sequence[Sample], has_images: bool = True) -> Dataset:
    split = next((name for name, size in SPLITS.items() if size == len(samples)), None)
    version = f"{len(samples):,} questions of {split or 'an unknown split'}"
    if samples and samples[0].gold is None:
        version += ", whose answers are hidden: `moe-eval submit` writes what the server scores"
    return Dataset(source, version, samples, official=split == "test", has_images=has_images)


def answer_id(answer: Mapping[str, Any]) -> str:
    """LLaVA numbers the questions as the test pictures are numbered; others name them by their picture."""
    number = str(answer["question_id"])
    return f"VizWiz_test_{int(number):08d}" if number.isdecimal() else Path(number).stem
