"""POPE: does a model say that things are in a picture that are not? Yes/no questions in three categories.

The categories share their "yes" questions and differ in how the absent object of the "no" questions was chosen:
at random, among the most frequent ones (popular), or among those that often appear beside what is there
(adversarial).

Two versions of the questions are around, and both ship with this package (`tasks/data/pope`): the 8,910 that LLaVA,
MoE-LLaVA and comparable papers score (POPE commit e3e39262), and today's 9,000 (3df3ba1).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from operator import eq
from pathlib import Path
from typing import Any, Literal

from moe_eval.errors import UserError, unknown
from moe_eval.files.jsonl import read_jsonl
from moe_eval.images import ImageFile, ImageRef, NamedImage
from moe_eval.metrics import binary_metrics, count_binary, precision_recall_f1
from moe_eval.metrics.totals import Number, Scores, of_totals
from moe_eval.metrics.yes_no import extract_yes_no
from moe_eval.mini.pope import mini_pope
from moe_eval.prompts import short_answer
from moe_eval.sources.hub import download_dataset
from moe_eval.sources.parquet import read_parquet
from moe_eval.sources.tsv import read_tsv
from moe_eval.task import Card, Dataset, Result, Sample, SampleScore, Task, TaskProtocol

__all__ = ["TASK", "parse_yes_no"]

CATEGORIES = {"adversarial": 0, "random": 10_000_000, "popular": 20_000_000}
"""Category → what LLaVA adds to the file's `question_id` to make ids unique over the three files."""

VERSIONS = {"old": "e3e39262", "new": "3df3ba1"}
"""Our names of the question files → the commit of RUCAIBox/POPE that they are from."""

HUB_REPOSITORY = "lmms-lab/POPE"
HUB_REVISION = "4db1276663dfa5eb8ad16a52d24c31a09e470896"
"""The upload that added the `Full` config. Pinned from the hub's public listing; override with `hub@REVISION`."""


# --- the llava protocol -----------------------------------------------------------------------------------------


def prompt(sample: Sample) -> str:
    """The question and LLaVA's short-answer suffix."""
    return short_answer(sample.question)


def parse_yes_no(response: str) -> Literal["yes", "no"]:
    """Answer of a POPE question as LLaVA's scorer reads it.

    Only the first sentence counts; commas are dropped; it is "no" if one of its words is exactly "No", "no" or
    "not", otherwise "yes" (also when it is empty). Words are split at single spaces, not at line ends.
    Source: LLaVA `eval_pope.py`; spec "POPE, LLaVA parsing".
    """
    first_sentence = response.split(".", 1)[0].replace(",", "")
    return "no" if {"No", "no", "not"} & set(first_sentence.split(" ")) else "yes"


def score(sample: Sample, response: str) -> SampleScore:
    """Category, gold, prediction and whether they agree."""
    return _compared(sample, parse_yes_no(response))


@of_totals
def aggregate(scores: Scores[SampleScore]) -> Result:
    """Headline: the mean of the categories' F1 scores; a category without samples is left out. All in percent."""
    categories = {}
    for category in CATEGORIES:
        if members := _of_category(scores, category):
            counts = count_binary(members.map(_prediction_and_gold))
            percentages = {name: 100 * value for name, value in binary_metrics(counts).items()}
            categories[category] = {**percentages, **vars(counts), "samples": len(members)}
    mean_f1 = sum(metrics["f1"] for metrics in categories.values()) / max(len(categories), 1)
    return Result(headline=mean_f1, metrics={"categories": categories})


def _of_category(scores: Scores[SampleScore], category: str) -> Scores[SampleScore]:
    """VLMEvalKit's file asks a question once that is in several categories, and names them with commas between."""
    return scores.where(lambda score: category in str(score["category"]).split(","))


def _prediction_and_gold(score: SampleScore) -> tuple[str, str]:
    return str(score["prediction"]), str(score["gold"])


# --- the lmms-eval and vlmevalkit protocols ---------------------------------------------------------------------


def prompt_lmms_eval(sample: Sample) -> str:
    """As LLaVA's, without blanks around the question."""
    return short_answer(sample.question.strip())


def prompt_vlmevalkit(sample: Sample) -> str:
    """The question alone."""
    return sample.question


def score_lmms_eval(sample: Sample, response: str) -> SampleScore:
    """The whole answer must be "yes" or "no", whatever the case: "No, there is not" is wrong."""
    return _compared(sample, response.lower().strip())


def score_vlmevalkit(sample: Sample, response: str) -> SampleScore:
    """Yes or no if only one of the words is in the answer, otherwise Unknown, which is wrong."""
    return _compared(sample, extract_yes_no(response).lower())


@of_totals
def aggregate_lmms_eval(scores: Scores[SampleScore]) -> Result:
    """Headline: F1 over all questions. Answers that are neither word count for accuracy only.

    `yes_ratio` is that of the gold answers, which lmms-eval prints under that name.
    Source: lmms-eval `pope/utils.py`.
    """
    return _pooled(scores, _lmms_eval_metrics)


@of_totals
def aggregate_vlmevalkit(scores: Scores[SampleScore]) -> Result:
    """Headline: F1 over all questions (as often as they have categories). Unknown counts as not yes.

    Source: VLMEvalKit `yorn.py`, `POPE_rating`.
    """
    return _pooled(scores.expand(_once_per_category), _vlmevalkit_metrics)


def _once_per_category(score: SampleScore) -> list[SampleScore]:
    return [{**score, "category": name} for name in CATEGORIES if name in str(score["category"]).split(",")]


def _compared(sample: Sample, prediction: str) -> SampleScore:
    return {
        "category": sample.meta["category"],
        "gold": sample.gold,
        "prediction": prediction,
        "correct": int(prediction == sample.gold),
    }


def _pooled(scores: Scores[SampleScore], measure: Callable[[Scores[SampleScore]], dict[str, Number]]) -> Result:
    """What is measured on all scores and on each category's, in percent."""
    parts = {"all": scores, **{category: _of_category(scores, category) for category in CATEGORIES}}
    categories = {
        name: {**{metric: 100 * value for metric, value in measure(part).items()}, "samples": len(part)}
        for name, part in parts.items()
        if part
    }
    pooled = categories.pop("all", {"f1": 0.0})
    return Result(headline=pooled["f1"], metrics={"pooled": pooled, "categories": categories})


def _lmms_eval_metrics(scores: Scores[SampleScore]) -> dict[str, Number]:
    pairs = scores.map(_prediction_and_gold)
    tp, fp, fn = (pairs.total(partial(eq, cell)) for cell in (("yes", "yes"), ("yes", "no"), ("no", "yes")))
    return {
        "accuracy": scores.total("correct") / scores.how_many(),
        **precision_recall_f1(tp, fp, fn),
        "yes_ratio": scores.total(lambda score: score["gold"] == "yes") / scores.how_many(),
    }


def _vlmevalkit_metrics(scores: Scores[SampleScore]) -> dict[str, Number]:
    said_yes = scores.map(lambda score: ("yes" if score["prediction"] == "yes" else "no", str(score["gold"])))
    counts = count_binary(said_yes)
    return {
        "accuracy": scores.total("correct") / scores.how_many(),
        **precision_recall_f1(counts.tp, counts.fp, counts.fn),
    }


PROTOCOLS = {
    "llava": TaskProtocol("mean F1 (%)", prompt, score, aggregate),
    "lmms-eval": TaskProtocol("pooled F1 (%)", prompt_lmms_eval, score_lmms_eval, aggregate_lmms_eval),
    "vlmevalkit": TaskProtocol(
        "pooled F1 (%)", prompt_vlmevalkit, score_vlmevalkit, aggregate_vlmevalkit, max_new_tokens=2048
    ),
}


# --- data sources -----------------------------------------------------------------------------------------------


@cache
def load_official(argument: str) -> Dataset:
    """`official` or `official:new`: the shipped questions, without pictures, for scoring stored answers."""
    name = argument or "old"
    if name not in VERSIONS:
        raise unknown("version of POPE", name, VERSIONS)
    rows = read_jsonl(Path(__file__).parent / "data" / "pope" / f"{VERSIONS[name]}.jsonl.gz")
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
            samples.append(_sample(row, category, ImageFile(folder / "val2014" / str(row["image"]))))
    _check_questions(folder / "llava_pope_test.jsonl", samples)
    return _recognised(f"llava:{argument}", samples)


def load_hub(argument: str) -> Dataset:
    """`hub`: the 8,910 questions joined to the hub's pictures; `hub:new`: the hub's own 9,000. `@REVISION` pins."""
    name, _, revision = argument.partition("@")
    name, revision = name or "old", revision or HUB_REVISION
    if name not in VERSIONS:
        raise unknown("version of POPE", name, VERSIONS)
    files = download_dataset(HUB_REPOSITORY, revision, "data/test-*.parquet")
    columns = ["question_id", "question", "answer", "image_source", "category"]
    pictures: dict[str, ImageRef] = {}
    samples = []
    for row in read_parquet(files, columns, heavy=["image"]):
        image = f"{Path(row.values['image_source']).stem}.jpg"
        picture = pictures.setdefault(image, row.picture("image", image))
        values = {**row.values, "text": row.values["question"], "label": row.values["answer"]}
        samples.append(_sample(values, row.values["category"], picture))
    if name == "old":
        samples = [
            replace(sample, images=(_joined(pictures, sample.group, revision),))
            for sample in load_official("old").samples
        ]
    return _recognised(f"hub:{name}@{revision}", samples)


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
        raise UserError(f"pope: {HUB_REPOSITORY} at {revision[:12]} lacks picture {image}; try another hub@REVISION")
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


TASK = Task(
    name="pope",
    title="POPE",
    card=Card(
        measures="object hallucination: yes/no questions about objects that are or are not in a picture",
        size="8,910 questions (adversarial 3,000, random 2,910, popular 3,000) on 500 pictures of COCO val2014",
        licence="questions MIT; COCO annotations CC BY 4.0; pictures under Flickr's terms",
        citation="Li et al., Evaluating Object Hallucination in Large Vision-Language Models, EMNLP 2023 (arXiv 2305.10355)",
        pitfalls=(
            "Papers print the mean of three F1 scores; lmms-eval and VLMEvalKit print one over all questions.",
            "Today's POPE files and the hub's hold 9,000 questions; the random category differs from the 8,910.",
            'The parser says "yes" to everything without the exact words No, no or not in its first sentence.',
            "lmms-eval wants the bare word and VLMEvalKit one word of the two: models that explain score lower there.",
            "Look at the yes-ratio: a model that always says yes gets an F1 of 66.7. lmms-eval's is that of the gold.",
        ),
    ),
    max_new_tokens=128,
    protocols=PROTOCOLS,
    sources={"official": load_official, "llava": load_llava, "hub": load_hub, "tsv": load_tsv, "mini": load_mini},
    answer_id=answer_id,
)
