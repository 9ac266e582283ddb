"""GQA: compositional questions made from scene graphs, with one answer each.

Papers report the exact match on testdev-balanced. The official scorer also looks at kinds of questions, at consistency
between questions that imply each other, and at how answers are distributed.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import fsum
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError
from moe_eval.images import EncodedImage, ImageRef
from moe_eval.metrics.exact_match import lmms_eval_form, vlmevalkit_form
from moe_eval.metrics.means import percent, percent_by
from moe_eval.metrics.totals import Scores, of_totals
from moe_eval.mini.gqa import mini_gqa
from moe_eval.mini.source import mini_dataset
from moe_eval.prompts import SHORT_ANSWER, short_answer
from moe_eval.sources.hub import download_dataset, resolved_revision
from moe_eval.sources.llava import PictureFolder, check_texts, locate, read_json, read_questions
from moe_eval.sources.parquet import read_parquet
from moe_eval.sources.tsv import read_tsv
from moe_eval.task import Card, Dataset, Result, Sample, SampleScore, Task, TaskProtocol

__all__ = ["TASK", "describe_question"]

OFFICIAL_SIZE = 12_578

HUB_REPOSITORY = "lmms-lab/GQA"
HUB_REVISION = "0aadba1dbd6717761b1819b7457ee02413e722fc"
"""The upload of the last split, read off a stored copy of the hub's page. Override with `hub@REVISION`."""


# --- protocols --------------------------------------------------------------------------------------------------


def prompt(sample: Sample) -> str:
    """The question and LLaVA's short-answer suffix; all protocols ask the same."""
    return short_answer(sample.question)


def score_llava(sample: Sample, response: str) -> SampleScore:
    """The answer in lower case without periods at its end must be the gold answer exactly.

    Whatever else the official scorer needs about the question comes along, see `describe_question`.
    Source: LLaVA `scripts/convert_gqa_for_eval.py`, MoE-LLaVA `eval_gqa.py`.
    """
    prediction = response.rstrip(".").lower()
    choices = {name: int(prediction in allowed) for name, allowed in sample.meta.get("choices", {}).items()}
    return {
        **sample.meta.get("question", {}),
        **choices,
        "gold": sample.gold,
        "prediction": prediction,
        "correct": int(prediction == sample.gold),
    }


def score_lmms_eval(sample: Sample, response: str) -> SampleScore:
    """Equal but for case and ASCII punctuation: "T-shirt." is "tshirt"."""
    prediction = lmms_eval_form(response.strip())
    return _matched(sample, prediction, lmms_eval_form(sample.gold))


def score_vlmevalkit(sample: Sample, response: str) -> SampleScore:
    """Equal but for case and blanks around: "yes." is wrong."""
    return _matched(sample, vlmevalkit_form(response), vlmevalkit_form(sample.gold))


@of_totals
def aggregate_llava(scores: Scores[SampleScore]) -> Result:
    """The official numbers over balanced questions, in percent; `distribution` is a distance, lower is better.

    `validity` and `plausibility` are 0 where no choices file came with the data, as for testdev: the original prints
    that, too. `consistency` is there if questions that others imply were asked.
    Source: MoE-LLaVA `eval_gqa.py`.
    """
    balanced = scores.where(lambda score: score.get("balanced", 1))
    metrics: dict[str, Any] = {}
    if any("structural" in score for score in balanced):
        parts = balanced.by(lambda score: "open" if score["structural"] == "query" else "binary")
        metrics |= {name: percent(parts[name], "correct") for name in ("binary", "open") if name in parts}
        for name in ("validity", "plausibility"):
            metrics[name] = percent(balanced, partial(_field_or_zero, name))
        metrics["distribution"] = _distribution(balanced)
        metrics |= _consistency(scores)
    tables = {name: percent_by(balanced, field, "correct") for name, field in KINDS.items()}
    metrics |= {name: table for name, table in tables.items() if table}
    return Result(percent(balanced, "correct"), metrics)


@of_totals
def aggregate_all(scores: Scores[SampleScore]) -> Result:
    """Exact match over all questions, balanced or not."""
    kinds = percent_by(scores, "structural", "correct")
    return Result(percent(scores, "correct"), {"structural_types": kinds} if kinds else {})


KINDS = {
    "structural_types": "structural",
    "semantic_types": "semantic",
    "steps": "steps",
    "words": "words",
}


def _matched(sample: Sample, prediction: str, gold: str) -> SampleScore:
    structural = sample.meta.get("question", {}).get("structural", "")
    kind = {"structural": structural} if structural else {}
    return {**kind, "gold": sample.gold, "prediction": prediction, "correct": int(prediction == gold)}


def _field_or_zero(name: str, score: SampleScore) -> float:
    return float(score.get(name, 0))


def _distribution(scores: Iterable[SampleScore]) -> float:
    """Chi-square distance of predicted from gold answers within each global group, weighted by its size, over 100.

    Not written in totals: drawing pictures with replacement moves distributions apart, so an interval from that would lie
    above the distance itself.
    """
    gold: dict[Any, Counter] = {}
    predicted: dict[Any, Counter] = {}
    for score in scores:
        if score["global_group"]:
            gold.setdefault(score["global_group"], Counter())[score["gold"]] += 1
            predicted.setdefault(score["global_group"], Counter())[score["prediction"]] += 1
    sizes = {group: answers.total() for group, answers in gold.items()}
    if not sizes:
        return 0.0
    distances = [
        sizes[group] * fsum((predicted[group][answer] - count) ** 2 / count for answer, count in answers.items())
        for group, answers in gold.items()
    ]
    return fsum(distances) / sum(sizes.values()) / 100


def _consistency(scores: Scores[SampleScore]) -> dict[str, Any]:
    """How often the questions that a rightly answered one implies were right, too, where all of them were asked."""
    correct = {score["question_id"]: int(score["correct"]) for score in scores if "question_id" in score}

    def implied(score: SampleScore) -> list[str]:
        others = [other for other in str(score.get("entailed", "")).split() if other != score["question_id"]]
        return others if all(other in correct for other in others) else []

    def share(score: SampleScore) -> float:
        return fsum(correct[other] for other in implied(score)) / len(implied(score)) if score["correct"] else 0.0

    implying = scores.where(lambda score: score.get("balanced", 1) and implied(score))
    if not any(score["correct"] for score in implying):
        return {}
    right = implying.total("correct")
    return {"consistency": 100 * implying.total(share) / right, "consistency_questions": right}


PROTOCOLS = {
    "llava": TaskProtocol("accuracy (%)", prompt, score_llava, aggregate_llava),
    "lmms-eval": TaskProtocol("exact match (%)", prompt, score_lmms_eval, aggregate_all, max_new_tokens=16),
    "vlmevalkit": TaskProtocol("accuracy (%)", prompt, score_vlmevalkit, aggregate_all, max_new_tokens=2048),
}


# --- data sources -----------------------------------------------------------------------------------------------


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
    name, _, revision = argument.partition("@")
    if name:
        raise UserError(f"gqa: hub takes no split (got {name!r}): it is testdev-balanced, which papers report")
    files = download_dataset(
        HUB_REPOSITORY, revision or HUB_REVISION, "testdev_balanced_instructions/testdev-*.parquet"
    )
    revision = resolved_revision(files, revision or HUB_REVISION)
    picture_files = download_dataset(HUB_REPOSITORY, revision, "testdev_balanced_images/testdev-*.parquet")
    pictures: dict[str, EncodedImage] = {
        row.values["id"]: row.picture("image", f"{row.values['id']}.jpg")
        for row in read_parquet(picture_files, ["id"], heavy=["image"])
    }
    samples = []
    columns = ["id", "imageId", "question", "answer", "isBalanced", "groups", "entailed", "types", "semantic"]
    for row in read_parquet(files, columns):
        where = f"gqa: {row.path} row {row.number}"
        if row.values["imageId"] not in pictures:
            raise UserError(f"{where}: picture {row.values['imageId']} is not in testdev_balanced_images")
        picture = pictures[row.values["imageId"]]
        samples.append(_sample(row.values["id"], row.values["question"], picture, row.values, where))
    return _dataset(f"hub@{revision}", samples)


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


TASK = Task(
    name="gqa",
    title="GQA",
    card=Card(
        measures="compositional questions about objects, attributes and relations in a picture",
        size="testdev-balanced: 12,578 questions on 398 pictures",
        licence="CC BY 4.0",
        citation="Hudson and Manning, GQA, CVPR 2019 (arXiv 1902.09506)",
        pitfalls=(
            'One gold answer, exact match: "a red car" is wrong where the answer is "car".',
            "The protocols differ on 8.5 % of the vectors: LLaVA removes periods at the end, lmms-eval all punctuation, VLMEvalKit none.",
            "Validity and plausibility print as 0: there is no choices file for testdev.",
            "Consistency needs answers to questions outside testdev-balanced; it is left out where they were not asked.",
            "lmms-eval allows 16 new tokens instead of 128.",
        ),
    ),
    max_new_tokens=128,
    protocols=PROTOCOLS,
    sources={"llava": load_llava, "hub": load_hub, "tsv": load_tsv, "mini": load_mini},
)
