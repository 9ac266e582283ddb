"""How the authors of two compared systems ask and score GQA, so that their published numbers can be explained."""

from moe_eval.prompts import qwen_vl_question, tinygpt_v_question
from moe_eval.task import Sample, SampleScore, TaskProtocol

from .scoring import aggregate_all, judged

__all__ = ["PEERS"]

LEAD_INS = ("is ", "are ", "a ", "an ", "the ")


def prompt_qwen_vl(sample: Sample) -> str:
    """The question and "Answer:", for a model that continues a text."""
    return qwen_vl_question(sample.question)


def prompt_tinygpt_v(sample: Sample) -> str:
    """The question after the sentence that the model was trained with."""
    return tinygpt_v_question(sample.question)


def score_qwen_vl(sample: Sample, response: str) -> SampleScore:
    """Exact match of what is left when the answer is cut: at the first `.`, `,` or `!`, after lead-ins, before " of".

    A lead-in counts anywhere, inside words, too: "pizza slice" is understood as "slice".
    Source: Qwen-VL `eval_mm/evaluate_vqa.py`.
    """
    prediction = response.strip().split(".")[0].split(",")[0].split("!")[0].lower()
    for lead_in in LEAD_INS:
        if lead_in in prediction:
            prediction = prediction.split(lead_in)[1]
    prediction = prediction.split(" of")[0].strip()
    return judged(sample, prediction, prediction == sample.gold.strip().lower())


def score_tinygpt_v(sample: Sample, response: str) -> SampleScore:
    """Right if the gold answer stands anywhere in the answer in lower case: "now" holds "no".

    Source: TinyGPT-V `eval_vqa.py`, whose answers are not cut where the model begins another turn.
    """
    return judged(sample, response.lower().strip(), sample.gold in response.lower())


PEERS = {
    "qwen-vl": TaskProtocol("accuracy (%)", prompt_qwen_vl, score_qwen_vl, aggregate_all, max_new_tokens=10),
    "tinygpt-v": TaskProtocol("containment (%)", prompt_tinygpt_v, score_tinygpt_v, aggregate_all, max_new_tokens=20),
}
