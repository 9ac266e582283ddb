"""How TextVQA is asked, and what its answers are worth."""

from collections.abc import Callable

from moe_eval.errors import UserError
from moe_eval.metrics.answer_text import normalise_m4c, normalise_vlmevalkit
from moe_eval.metrics.consensus import consensus, count_matches, official_vqa_accuracy
from moe_eval.metrics.means import percent
from moe_eval.metrics.totals import Scores, of_totals
from moe_eval.prompts import qwen_vl_question, short_answer
from moe_eval.task import Result, Sample, SampleScore, TaskProtocol

__all__ = ["OCR_LINE", "PROTOCOLS"]


OCR_LINE = "Reference OCR token: "


def prompt_llava(sample: Sample) -> str:
    """The question, the line of OCR tokens (there even if none was found), and the short-answer suffix.

    Raises:
        UserError: for data that do not say which tokens there are.
    """
    if "ocr" not in sample.meta:
        raise UserError(
            "textvqa: these data have no OCR tokens, which the protocol llava puts into its prompts; "
            "use --protocol vlmevalkit, or --data hub or llava:DIR"
        )
    return short_answer(f"{sample.question}\n{OCR_LINE}{sample.meta['ocr']}")


def prompt_lmms_eval(sample: Sample) -> str:
    """The question, all but its first letter in lower case, and the short-answer suffix."""
    return short_answer(sample.question.capitalize())


def prompt_vlmevalkit(sample: Sample) -> str:
    """The question and the short-answer suffix."""
    return short_answer(sample.question)


def prompt_qwen_vl(sample: Sample) -> str:
    """The question and "Answer:", for a model that continues a text; no OCR tokens."""
    return qwen_vl_question(sample.question)


def score_m4c(sample: Sample, response: str) -> SampleScore:
    """m4c's normalisation of prediction and answers, as LLaVA's `m4c_evaluator.py` and lmms-eval score."""
    return _scored(sample, response, normalise_m4c)


def score_vlmevalkit(sample: Sample, response: str) -> SampleScore:
    """VLMEvalKit's normalisation of prediction and answers."""
    return _scored(sample, response, normalise_vlmevalkit)


def score_qwen_vl(sample: Sample, response: str) -> SampleScore:
    """VQAv2's accuracy of the answer as the model wrote it. Source: Qwen-VL `eval_mm/evaluate_vqa.py`."""
    prediction = response.strip()
    score = {} if sample.gold is None else {"score": official_vqa_accuracy(prediction, sample.gold)}
    return {"prediction": prediction, **score}


@of_totals
def aggregate(scores: Scores[SampleScore]) -> Result:
    """Mean accuracy in percent."""
    return Result(percent(scores.where(lambda score: "score" in score), "score"), {})


def _scored(sample: Sample, response: str, normalise: Callable[[str], str]) -> SampleScore:
    prediction = normalise(response)
    if sample.gold is None:
        return {"prediction": prediction}
    matches = count_matches(prediction, sample.gold, normalise)
    return {"prediction": prediction, "score": consensus(matches, len(sample.gold))}


PROTOCOLS = {
    "llava": TaskProtocol("accuracy (%)", prompt_llava, score_m4c, aggregate),
    "lmms-eval": TaskProtocol(
        "accuracy (%)", prompt_lmms_eval, score_m4c, aggregate, max_new_tokens=1024, upright=True
    ),
    "vlmevalkit": TaskProtocol("accuracy (%)", prompt_vlmevalkit, score_vlmevalkit, aggregate, max_new_tokens=2048),
    "qwen-vl": TaskProtocol("accuracy (%)", prompt_qwen_vl, score_qwen_vl, aggregate, max_new_tokens=10),
}
