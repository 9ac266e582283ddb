"""VQAv2: open questions about COCO pictures, each answered by ten people.

Papers report test-dev, whose answers are hidden: its number comes from the server, for the file that `moe-eval submit`
writes. The validation split can be scored here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from moe_eval.errors import UserError, unknown
from moe_eval.images import EncodedImage, ImageRef
from moe_eval.metrics.answer_text import normalise_lmms_eval_vqav2, normalise_m4c
from moe_eval.metrics.consensus import consensus, count_matches, official_vqa_accuracy
from moe_eval.metrics.means import percent, percent_by
from moe_eval.metrics.totals import Scores, of_totals
from moe_eval.mini.source import mini_dataset
from moe_eval.mini.vqav2 import mini_vqav2
from moe_eval.prompts import SHORT_ANSWER, short_answer
from moe_eval.sources.annotators import ten_answers
from moe_eval.sources.hub import download_dataset, resolved_revision
from moe_eval.sources.llava import PictureFolder, locate, read_questions
from moe_eval.sources.parquet import read_parquet
from moe_eval.task import Card, Dataset, Result, Sample, SampleScore, Submission, Task, TaskProtocol

__all__ = ["TASK"]

SPLITS = {"testdev": 107_394, "validation": 214_354, "test": 447_793}
"""The hub's names of the splits and their sizes; the first is the one that papers report."""

PICTURES = {"testdev": "test2015", "validation": "val2014", "test": "test2015"}
"""Split → COCO's name of its pictures."""

HUB_REPOSITORY = "lmms-lab/VQAv2"
HUB_REVISION = "main"
"""The branch; runs record the commit that it stood for. Pin one with `hub@REVISION`."""


# --- protocols --------------------------------------------------------------------------------------------------


def prompt(sample: Sample) -> str:
    """The question and LLaVA's short-answer suffix; lmms-eval asks the same."""
    return short_answer(sample.question)


def score_llava(sample: Sample, response: str) -> SampleScore:
    """What the official scorer gives for the text that LLaVA uploads, which is the answer after m4c's normalisation."""
    uploaded = normalise_m4c(response)
    return _scored(sample, uploaded, official_vqa_accuracy)


def score_lmms_eval(sample: Sample, response: str) -> SampleScore:
    """As lmms-eval: prediction and answers are normalised, also where all ten agree."""
    return _scored(sample, normalise_lmms_eval_vqav2(response), _lmms_eval_accuracy)


def score_official(sample: Sample, response: str) -> SampleScore:
    """What the official scorer gives for the answer as the model wrote it."""
    return _scored(sample, response, official_vqa_accuracy)


@of_totals
def aggregate(scores: Scores[SampleScore]) -> Result:
    """Mean accuracy in percent, and for every kind of question and of answer."""
    known = scores.where(lambda score: "score" in score)
    if not known:
        return Result(headline=None, metrics={})
    kinds = {name: percent_by(known, field, "score") for name, field in KINDS.items()}
    return Result(percent(known, "score"), {name: table for name, table in kinds.items() if table})


KINDS = {"answer_types": "answer_type", "question_types": "question_type"}


def _scored(sample: Sample, prediction: str, accuracy: Any) -> SampleScore:
    if sample.gold is None:
        return {"prediction": prediction}
    kinds = {field: sample.meta[field] for field in KINDS.values() if field in sample.meta}
    return {**kinds, "prediction": prediction, "score": accuracy(prediction, sample.gold)}


def _lmms_eval_accuracy(prediction: str, answers: Sequence[str]) -> float:
    return consensus(count_matches(prediction, answers, normalise_lmms_eval_vqav2), len(answers))


PROTOCOLS = {
    "llava": TaskProtocol("accuracy (%)", prompt, score_llava, aggregate),
    "lmms-eval": TaskProtocol("accuracy (%)", prompt, score_lmms_eval, aggregate, max_new_tokens=16),
    "official": TaskProtocol("accuracy (%)", prompt, score_official, aggregate),
}


# --- data sources -----------------------------------------------------------------------------------------------


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


# --- submission -------------------------------------------------------------------------------------------------


def write_submission(dataset: Dataset, answers: Mapping[str, str]) -> bytes:
    """JSON of `question_id` and `answer` for all of test2015 in the order of the data; unanswered ones are "".

    Source: LLaVA `scripts/convert_vqav2_for_submission.py`.
    """
    if len(dataset.samples) == SPLITS["testdev"]:
        raise UserError(
            f"vqav2: {dataset.source} is test-dev alone, but the server wants all of test2015: "
            "use --data hub:test or llava:DIR/llava_vqav2_mscoco_test2015.jsonl"
        )
    unknown_ids = answers.keys() - {sample.id for sample in dataset.samples}
    if unknown_ids:
        raise UserError(
            f"vqav2: {len(unknown_ids)} answered questions, such as {min(unknown_ids)}, are not in {dataset.source}; "
            "the server wants all of test2015"
        )
    rows = [
        {"question_id": int(sample.id), "answer": normalise_m4c(answers.get(sample.id, ""))}
        for sample in dataset.samples
    ]
    return json.dumps(rows).encode()


TASK = Task(
    name="vqav2",
    title="VQAv2",
    card=Card(
        measures="open questions about everyday pictures, scored by agreement with ten people",
        size="test-dev 107,394 questions (hidden answers), validation 214,354, test 447,793, on COCO pictures",
        licence="annotations CC BY 4.0; pictures under Flickr's terms",
        citation="Goyal et al., Making the V in VQA Matter, CVPR 2017 (arXiv 1612.00837)",
        pitfalls=(
            "Papers print test-dev, whose number only the server (EvalAI challenge 830) gives; validation is usually 1-2 points lower.",
            "The server normalises nothing where all ten people wrote the same: unanimous answers with capitals, hyphens or symbols are lost.",
            "LLaVA uploads answers normalised by m4c first, which splits off 's: \"Macy's\" never matches. The protocol `official` scores answers as they are.",
            "lmms-eval normalises always, and scores validation; it allows 16 new tokens instead of 128.",
            "The upload must hold all of test2015, not only test-dev.",
        ),
    ),
    max_new_tokens=128,
    protocols=PROTOCOLS,
    sources={"llava": load_llava, "hub": load_hub, "mini": load_mini},
    submission=Submission(
        filename="vqav2_test2015.json",
        upload="https://eval.ai/web/challenges/challenge-page/830 (phase Test-Dev)",
        scored_here="hub:validation",
        write=write_submission,
        rows=SPLITS["test"],
        may_leave_out=True,
    ),
)
