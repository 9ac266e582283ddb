"""VizWiz-VQA: questions that blind people asked about photos they took, each answered by ten people.

Papers report the test split, whose answers are hidden. The validation split can be scored here.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError, unknown
from moe_eval.metrics.answer_text import normalise_m4c, normalise_vlmevalkit, normalise_vqa
from moe_eval.metrics.consensus import consensus, count_matches
from moe_eval.metrics.means import percent, percent_by
from moe_eval.metrics.totals import Scores, of_totals
from moe_eval.mini.source import mini_dataset
from moe_eval.mini.vizwiz import mini_vizwiz
from moe_eval.prompts import UNANSWERABLE, short_answer
from moe_eval.sources.annotators import parse_list, ten_answers
from moe_eval.sources.hub import download_dataset, resolved_revision
from moe_eval.sources.llava import PictureFolder, check_texts, locate, read_json, read_questions
from moe_eval.sources.parquet import read_parquet
from moe_eval.sources.tsv import read_tsv
from moe_eval.task import Card, Dataset, Result, Sample, SampleScore, Submission, Task, TaskProtocol

__all__ = ["TASK"]

SPLITS = {"test": 8_000, "val": 4_319}
"""The hub's names of the splits and their sizes; the first is the one that papers report."""

HUB_REPOSITORY = "lmms-lab/VizWiz-VQA"
HUB_REVISION = "main"
"""The branch; runs record the commit that it stood for. Pin one with `hub@REVISION`."""


# --- protocols --------------------------------------------------------------------------------------------------


def prompt_llava(sample: Sample) -> str:
    """The question, leave to say "Unanswerable", and the short-answer suffix."""
    return short_answer(f"{sample.question}\n{UNANSWERABLE}")


def prompt_lmms_eval(sample: Sample) -> str:
    """As LLaVA's, but everything after the first letter of the question in lower case."""
    return short_answer(f"{sample.question.capitalize()}\n{UNANSWERABLE}")


def prompt_vlmevalkit(sample: Sample) -> str:
    """The question alone."""
    return sample.question


def score_llava(sample: Sample, response: str) -> SampleScore:
    """What the official scorer gives for the text that LLaVA uploads.

    It normalises the prediction (which m4c's normalisation already went over) and leaves the answers as they are.
    Source: spec section 3.
    """
    uploaded = normalise_m4c(response)
    return _scored(sample, uploaded, normalise_vqa(uploaded), lambda answer: answer)


def score_lmms_eval(sample: Sample, response: str) -> SampleScore:
    """As lmms-eval: m4c's normalisation of prediction and answers."""
    prediction = normalise_m4c(response)
    return _scored(sample, prediction, prediction, normalise_m4c)


def score_vlmevalkit(sample: Sample, response: str) -> SampleScore:
    """As VLMEvalKit: its normalisation of prediction and answers."""
    prediction = normalise_vlmevalkit(response)
    return _scored(sample, prediction, prediction, normalise_vlmevalkit)


@of_totals
def aggregate(scores: Scores[SampleScore]) -> Result:
    """Mean accuracy in percent, and for every kind of answer."""
    known = scores.where(lambda score: "score" in score)
    if not known:
        return Result(headline=None, metrics={})
    answer_types = percent_by(known, "answer_type", "score")
    return Result(percent(known, "score"), {"answer_types": answer_types} if answer_types else {})


def _scored(sample: Sample, prediction: str, compared: str, normalise: Callable[[str], str]) -> SampleScore:
    if sample.gold is None:
        return {"prediction": prediction}
    matches = count_matches(compared, sample.gold, normalise)
    kinds = {"answer_type": sample.meta["answer_type"]} if "answer_type" in sample.meta else {}
    return {**kinds, "prediction": prediction, "score": consensus(matches, len(sample.gold))}


PROTOCOLS = {
    "llava": TaskProtocol("accuracy (%)", prompt_llava, score_llava, aggregate),
    "lmms-eval": TaskProtocol("accuracy (%)", prompt_lmms_eval, score_lmms_eval, aggregate, max_new_tokens=1024),
    "vlmevalkit": TaskProtocol("accuracy (%)", prompt_vlmevalkit, score_vlmevalkit, aggregate, max_new_tokens=2048),
}


# --- data sources -----------------------------------------------------------------------------------------------


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


# --- submission -------------------------------------------------------------------------------------------------


def write_submission(dataset: Dataset, answers: Mapping[str, str]) -> bytes:
    """JSON of `image` and `answer` in the order of the data; every question must be answered.

    Source: LLaVA `scripts/convert_vizwiz_for_submission.py`.
    """
    missing = [sample.id for sample in dataset.samples if sample.id not in answers]
    if missing:
        raise UserError(f"vizwiz: {len(missing)} questions have no answer, such as {missing[0]}; the server wants all")
    rows = [{"image": s.images[0].name, "answer": normalise_m4c(answers[s.id])} for s in dataset.samples]
    return json.dumps(rows).encode()


TASK = Task(
    name="vizwiz",
    title="VizWiz",
    card=Card(
        measures="questions of blind people about their own photos, many of which cannot be answered",
        size="test 8,000 questions (hidden answers), validation 4,319",
        licence="CC BY 4.0",
        citation="Gurari et al., VizWiz Grand Challenge, CVPR 2018 (arXiv 1802.08218)",
        pitfalls=(
            "Papers print test, whose number only the server gives; lmms-eval and VLMEvalKit score validation.",
            "The sentence about 'Unanswerable' decides: with it LLaVA-1.5 gets 67.8 % of the unanswerable questions, without it 11.1 %. VLMEvalKit asks without it.",
            "LLaVA uploads answers normalised by m4c, which splits off 's; 28 of its 8,000 answers are lost to that.",
            "The official scorer leaves reference answers as they are; lmms-eval and VLMEvalKit normalise them.",
            "lmms-eval writes all but the first letter of the question in lower case.",
        ),
    ),
    max_new_tokens=128,
    protocols=PROTOCOLS,
    sources={"llava": load_llava, "hub": load_hub, "tsv": load_tsv, "mini": load_mini},
    answer_id=answer_id,
    submission=Submission(
        filename="vizwiz_test.json",
        upload="https://eval.ai/web/challenges/challenge-page/2185 (phase test-standard)",
        scored_here="hub:val",
        write=write_submission,
        rows=8000,
    ),
)
