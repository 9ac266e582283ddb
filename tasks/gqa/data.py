"""Where GQA's questions come from."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError
from moe_eval.images import EncodedImage, ImageRef
from moe_eval.mini.gqa import mini_gqa
from moe_eval.mini.source import mini_dataset
from moe_eval.prompts import SHORT_ANSWER
from moe_eval.sources.hf import hf_rows
from moe_eval.sources.hub import HubFiles, download_dataset, hub_rows
from moe_eval.sources.llava import PictureFolder, check_texts, locate, read_json, read_questions
from moe_eval.sources.parquet import read_parquet
from moe_eval.sources.rows import Row
from moe_eval.sources.tsv import read_tsv
from moe_eval.task import Dataset, Sample

__all__ = ["allowed_answers", "describe_question", "load_hf", "load_hub", "load_llava", "load_mini", "load_tsv"]


OFFICIAL_SIZE = 12_578

HUB = {
    "testdev-balanced": HubFiles(
        "lmms-lab/GQA",
        "testdev_balanced_instructions/testdev-*.parquet",
        "0aadba1dbd6717761b1819b7457ee02413e722fc",  # the upload of the last split, read off a copy of the hub's page
    )
}
COLUMNS = ["id", "imageId", "question", "answer", "isBalanced", "groups", "entailed", "types", "semantic"]


def load_llava(argument: str) -> Dataset:
    """`llava:DIR`: LLaVA's folder, with `data/images` and `data/questions1.2/testdev_balanced_questions.json`.

    A file of valid and plausible answers, `data/testdev_balanced_choices.json`, is read if it is there.
    """
    path = locate("gqa", argument, "llava_gqa_testdev_balanced.jsonl")
    pictures = PictureFolder(path.parent / "data" / "images")
    records = path.parent / "data" / "questions1.2" / "testdev_balanced_questions.json"
    questions = read_json("gqa", records, dict)
    choices_file = path.parent / "data" / "testdev_balanced_choices.json"
    choices = read_json("gqa", choices_file, dict) if choices_file.is_file() else {}
    samples = []
    for where, question, row in read_questions("gqa", path, SHORT_ANSWER):
        sample_id = str(row["question_id"])
        if sample_id not in questions:
            raise UserError(f"{where}: question_id {sample_id} is not in {records}")
        samples.append(
            _sample(
                sample_id,
                question,
                pictures[row["image"]],
                questions[sample_id],
                f"gqa: {records}: question {sample_id}",
                choices.get(sample_id),
            )
        )
    return _dataset(f"llava:{argument}", samples, pictures.exists)


def load_hub(argument: str) -> Dataset:
    """`hub`: testdev-balanced from the Hugging Face hub, questions joined to pictures. `@REVISION` pins."""
    rows = hub_rows("gqa", argument, HUB, COLUMNS, pictures=())
    files = download_dataset("lmms-lab/GQA", rows.revision, "testdev_balanced_images/testdev-*.parquet")
    pictures: dict[str, EncodedImage] = {
        row.values["id"]: row.picture("image", f"{row.values['id']}.jpg")
        for row in read_parquet("gqa", files, ["id"], heavy=["image"])
    }
    samples = []
    for row in rows.rows:
        if row.values["imageId"] not in pictures:
            raise UserError(f"{row.where}: picture {row.values['imageId']} is not in testdev_balanced_images")
        samples.append(_of_row(row, pictures[row.values["imageId"]]))
    return _dataset(rows.source, samples)


def load_hf(argument: str) -> Dataset:
    """`hf:ORG/NAME[@REVISION][:SPLIT]`: the columns of lmms-lab/GQA's questions and an `image`, from any data set."""
    rows = hf_rows("gqa", argument, COLUMNS)
    samples = [_of_row(row, row.picture("image", f"{row.values['imageId']}.jpg")) for row in rows.rows]
    return _dataset(rows.source, samples)


def _of_row(row: Row, picture: ImageRef) -> Sample:
    return _sample(row.values["id"], row.values["question"], picture, row.values, row.where)


def load_tsv(argument: str) -> Dataset:
    """`tsv:FILE`: VLMEvalKit's `GQA_TestDev_Balanced.tsv`, which does not say of what kind a question is."""
    samples = [
        Sample(row.text("index"), row.text("question"), (row.image,), row.text("answer"), group=row.image.name)
        for row in read_tsv(Path(argument), ["question", "answer"])
    ]
    return _dataset(f"tsv:{argument}", samples)


def load_mini(argument: str) -> Dataset:
    """`mini`: GQA's kinds of questions about pictures that the project draws; `mini:train:COUNT`: about other ones."""
    samples = []
    for scene, question_id, record, choices in mini_gqa(argument):
        where = f"gqa: mini: question {question_id}"
        sample = _sample(question_id, record["question"], scene, record, where, choices)
        samples.append(replace(sample, meta={**sample.meta, "response": record["answer"]}))
    return mini_dataset(argument, samples)


def describe_question(question_id: str, record: Mapping[str, Any]) -> dict[str, str | int]:
    """What the official scorer needs of a question record beside its answer, in plain values.

    `words` counts the question's; `steps` its semantic operations, without those that only ask for existence or a name.
    """
    operations = [f"{step['operation']}: {step['argument']}" for step in record["semantic"]]
    entailed = record["entailed"] or ()
    listed = re.findall(r"\w+", entailed) if isinstance(entailed, str) else entailed  # the hub has them as one string
    return {
        "question_id": question_id,
        "balanced": int(record["isBalanced"]),
        "structural": record["types"]["structural"] or "",
        "semantic": record["types"]["semantic"] or "",
        "words": len(record["question"].split()),
        "steps": sum(not any(idle in operation for idle in IDLE_STEPS) for operation in operations),
        "global_group": record["groups"]["global"] or "",
        "entailed": " ".join(listed),
    }


IDLE_STEPS = ("exist", "query: name", "choose name")


def allowed_answers(record: Mapping[str, Any], choices: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    """Valid and plausible answers; for a question about what is common, its own three instead of the file's."""
    if "Common" in record["types"]["detailed"]:
        return dict.fromkeys(("validity", "plausibility"), frozenset({"color", "material", "shape"}))
    return {"validity": frozenset(choices["valid"]), "plausibility": frozenset(choices["plausible"])}


def _sample(
    sample_id: str,
    question: str,
    picture: ImageRef,
    record: Mapping[str, Any],
    where: str,
    choices: Mapping[str, Sequence[str]] | None = None,
) -> Sample:
    check_texts(record, ("question", "answer"), where)
    try:
        meta: dict[str, Any] = {"question": describe_question(sample_id, record)}
        if choices:
            meta["choices"] = allowed_answers(record, choices)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{where} is not a GQA question: {type(error).__name__} {error}") from error
    return Sample(sample_id, question, (picture,), record["answer"], group=picture.name, meta=meta)


def _dataset(source: str, samples: Sequence[Sample], has_images: bool = True) -> Dataset:
    official = len(samples) == OFFICIAL_SIZE
    version = f"{len(samples):,} questions" + (" of testdev-balanced" if official else ", not testdev-balanced")
    return Dataset(source, version, samples, official=official, has_images=has_images)
