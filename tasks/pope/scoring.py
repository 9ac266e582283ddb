"""How POPE is asked, and what its answers are worth."""

from collections.abc import Callable
from functools import partial
from operator import eq
from typing import Literal

from moe_eval.metrics import binary_metrics, count_binary, precision_recall_f1
from moe_eval.metrics.calibration import WITHOUT_MAXIMUM, with_calibration
from moe_eval.metrics.likelihood import is_yes, probability_of_yes, yes_or_no
from moe_eval.metrics.totals import Number, Scores, of_totals
from moe_eval.metrics.yes_no import extract_yes_no
from moe_eval.prompts import short_answer
from moe_eval.task import Result, Sample, SampleScore, TaskProtocol

__all__ = ["CATEGORIES", "PROTOCOLS", "parse_yes_no", "prompt"]


CATEGORIES = {"adversarial": 0, "random": 10_000_000, "popular": 20_000_000}
"""Category → what LLaVA adds to the file's `question_id` to make ids unique over the three files."""


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


def score_likelihood(sample: Sample, response: str) -> SampleScore:
    """The likelier of "Yes" and "No", and the probability of yes."""
    return {**score(sample, response), **probability_of_yes(sample)}


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
    "lmms-eval": TaskProtocol("pooled F1 (%)", prompt_lmms_eval, score_lmms_eval, aggregate_lmms_eval, upright=True),
    "vlmevalkit": TaskProtocol(
        "pooled F1 (%)", prompt_vlmevalkit, score_vlmevalkit, aggregate_vlmevalkit, max_new_tokens=2048
    ),
    "likelihood": TaskProtocol(
        "mean F1 (%)",
        prompt,
        score_likelihood,
        with_calibration(aggregate, "p_yes", is_yes),
        continuations=yes_or_no,
        maxima=WITHOUT_MAXIMUM,
    ),
}
