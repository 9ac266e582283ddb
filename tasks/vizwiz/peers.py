"""How the authors of two compared systems ask and score VizWiz, so that their published numbers can be explained."""

from moe_eval.metrics.consensus import official_vqa_accuracy
from moe_eval.prompts import qwen_vl_question
from moe_eval.task import Sample, SampleScore, TaskProtocol

from .scoring import aggregate, kinds_of

__all__ = ["PEERS"]


def prompt_qwen_vl(sample: Sample) -> str:
    """The question and "Answer:", for a model that continues a text; nothing about what cannot be answered."""
    return qwen_vl_question(sample.question)


def prompt_tinygpt_v(sample: Sample) -> str:
    """The authors' sentence, with its punctuation."""
    return (
        f"[vqa] The question is '{sample.question}' Based on the image, answer the question with a single word or "
        "phrase. and reply 'unanswerable' when the provided information is insufficient"
    )


def score_qwen_vl(sample: Sample, response: str) -> SampleScore:
    """VQAv2's accuracy of the answer as the model wrote it. Source: Qwen-VL `eval_mm/evaluate_vqa.py`."""
    prediction = response.strip()
    if sample.gold is None:
        return {"prediction": prediction}
    return {
        **kinds_of(sample),
        "prediction": prediction,
        "score": official_vqa_accuracy(prediction, sample.gold),
    }


def score_tinygpt_v(sample: Sample, response: str) -> SampleScore:
    """A third for every reference that equals, is part of, or holds the answer, 1 at most: the empty answer is worth 1.

    The answer is what stands before `###` and after the last "Assistant:". Source: TinyGPT-V `eval_vqa.py`.
    """
    prediction = response.split("###")[0].split("Assistant:")[-1].strip()
    if sample.gold is None:
        return {"prediction": prediction}
    answer, references = prediction.lower(), [reference.lower() for reference in sample.gold]
    matches = sum(reference in answer or answer in reference for reference in references)
    return {**kinds_of(sample), "prediction": prediction, "score": min(matches / 3, 1.0)}


PEERS = {
    "qwen-vl": TaskProtocol("accuracy (%)", prompt_qwen_vl, score_qwen_vl, aggregate, max_new_tokens=10),
    "tinygpt-v": TaskProtocol("loose accuracy (%)", prompt_tinygpt_v, score_tinygpt_v, aggregate, max_new_tokens=20),
}
