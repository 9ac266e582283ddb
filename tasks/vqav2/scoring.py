"""How VQAv2 is asked, and what its answers are worth."""

from collections.abc import Sequence
from typing import Any

from moe_eval.metrics.answer_text import normalise_lmms_eval_vqav2, normalise_m4c
from moe_eval.metrics.consensus import consensus, count_matches, official_vqa_accuracy
from moe_eval.metrics.means import percent, percent_by
from moe_eval.metrics.totals import Scores, of_totals
from moe_eval.prompts import qwen_vl_question, short_answer
from moe_eval.task import Result, Sample, SampleScore, TaskProtocol

__all__ = ["PROTOCOLS"]


def prompt(sample: Sample) -> str:
    """The question and LLaVA's short-answer suffix; lmms-eval asks the same."""
    return short_answer(sample.question)


def prompt_qwen_vl(sample: Sample) -> str:
    """The question and "Answer:", for a model that continues a text. Source: Qwen-VL `eval_mm/evaluate_vqa.py`."""
    return qwen_vl_question(sample.question)


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
    "lmms-eval": TaskProtocol("accuracy (%)", prompt, score_lmms_eval, aggregate, max_new_tokens=16, upright=True),
    "official": TaskProtocol("accuracy (%)", prompt, score_official, aggregate),
    "qwen-vl": TaskProtocol("accuracy (%)", prompt_qwen_vl, score_official, aggregate, max_new_tokens=10),
}
