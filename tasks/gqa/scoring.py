"""How GQA is asked, and what its answers are worth."""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from math import fsum
from typing import Any

from moe_eval.metrics.exact_match import lmms_eval_form, vlmevalkit_form
from moe_eval.metrics.means import percent, percent_by
from moe_eval.metrics.totals import Scores, of_totals
from moe_eval.prompts import short_answer
from moe_eval.task import Result, Sample, SampleScore, TaskProtocol

__all__ = ["PROTOCOLS", "aggregate_all", "judged"]


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
    return judged(sample, prediction, prediction == gold)


def judged(sample: Sample, prediction: str, correct: bool) -> SampleScore:
    """The score of an answer, with the kind of question where the data say it."""
    structural = sample.meta.get("question", {}).get("structural", "")
    kind = {"structural": structural} if structural else {}
    return {**kind, "gold": sample.gold, "prediction": prediction, "correct": int(correct)}


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
    "lmms-eval": TaskProtocol(
        "exact match (%)", prompt, score_lmms_eval, aggregate_all, max_new_tokens=16, upright=True
    ),
    "vlmevalkit": TaskProtocol("accuracy (%)", prompt, score_vlmevalkit, aggregate_all, max_new_tokens=2048),
}
