"""How VizWiz is asked, and what its answers are worth."""

from collections.abc import Callable

from moe_eval.metrics.answer_text import normalise_m4c, normalise_vlmevalkit, normalise_vqa
from moe_eval.metrics.consensus import consensus, count_matches
from moe_eval.metrics.means import percent, percent_by
from moe_eval.metrics.totals import Scores, of_totals
from moe_eval.prompts import UNANSWERABLE, short_answer
from moe_eval.task import Result, Sample, SampleScore, TaskProtocol

__all__ = ["PROTOCOLS", "aggregate", "kinds_of"]


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
    return {**kinds_of(sample), "prediction": prediction, "score": consensus(matches, len(sample.gold))}


def kinds_of(sample: Sample) -> dict[str, str]:
    """What the breakdown needs of a question."""
    return {"answer_type": sample.meta["answer_type"]} if "answer_type" in sample.meta else {}


PROTOCOLS = {
    "llava": TaskProtocol("accuracy (%)", prompt_llava, score_llava, aggregate),
    "lmms-eval": TaskProtocol(
        "accuracy (%)", prompt_lmms_eval, score_lmms_eval, aggregate, max_new_tokens=1024, upright=True
    ),
    "vlmevalkit": TaskProtocol("accuracy (%)", prompt_vlmevalkit, score_vlmevalkit, aggregate, max_new_tokens=2048),
}
