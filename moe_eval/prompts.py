"""Sentences that go with the questions of several benchmarks: LLaVA's, and those of two compared systems."""

from collections.abc import Mapping

__all__ = [
    "OPTION_LETTER",
    "SHORT_ANSWER",
    "UNANSWERABLE",
    "lettered",
    "qwen_vl_choice",
    "qwen_vl_question",
    "short_answer",
    "tinygpt_v_question",
]

SHORT_ANSWER = "Answer the question using a single word or phrase."
OPTION_LETTER = "Answer with the option's letter from the given choices directly."
UNANSWERABLE = "When the provided information is insufficient, respond with 'Unanswerable'."


def short_answer(question: str) -> str:
    """The question, and on the next line the wish for a short answer."""
    return f"{question}\n{SHORT_ANSWER}"


def lettered(options: Mapping[str, str]) -> str:
    """Options by letter, one on each line: `A. red`."""
    return "\n".join(f"{letter}. {text}" for letter, text in options.items())


def qwen_vl_question(question: str) -> str:
    """As Qwen-VL's authors ask the VQA family, in a prompt without chat format. Source: `eval_mm/evaluate_vqa.py`."""
    return f"{question} Answer:"


def qwen_vl_choice(question: str, hint: str | None, options: Mapping[str, str]) -> str:
    """As Qwen-VL's authors ask for one of several options, of which the likeliest letter counts.

    Source: `eval_mm/evaluate_multiple_choice.py`, `eval_mm/mmbench/evaluate_multiple_choice_mmbench.py`.
    """
    return f"Context: {hint or 'N/A'}\nQuestion: {question}\nOptions: {lettered(options)}\nAnswer:"


def tinygpt_v_question(question: str) -> str:
    """As TinyGPT-V's authors ask for short answers. Source: `vqa_datasets.py`; spec/peer_models.md section 2.4."""
    return f"[vqa] Based on the image, respond to this question with a short answer: {question}"
