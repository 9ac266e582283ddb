"""How ScienceQA is asked, and what its answers are worth."""

import re
from collections.abc import Mapping
from dataclasses import replace
from string import ascii_uppercase
from typing import Any

from moe_eval.errors import UserError
from moe_eval.metrics.likelihood import confidence
from moe_eval.metrics.means import percent, percent_by
from moe_eval.metrics.multiple_choice import letter_by_vlmevalkit
from moe_eval.metrics.totals import Scores, of_totals
from moe_eval.prompts import OPTION_LETTER, lettered, qwen_vl_choice
from moe_eval.task import Result, Sample, SampleScore

__all__ = [
    "aggregate",
    "letters",
    "options_of",
    "parse_letter",
    "prompt_llava",
    "prompt_lmms_eval",
    "prompt_qwen_vl",
    "prompt_vlmevalkit",
    "score_likelihood",
    "score_llava",
    "score_lmms_eval",
    "score_vlmevalkit",
    "with_options",
]


LETTERS = "ABCDE"
"""What LLaVA's scorer looks for, however many options a question has."""


def prompt_llava(sample: Sample) -> str:
    """LLaVA's own text of the question where the data have it, else hint, question and options as it writes them."""
    text = sample.meta.get("llava_text") or _with_context(sample)
    return f"{text.strip()}\n{OPTION_LETTER}"


def prompt_lmms_eval(sample: Sample) -> str:
    return f"{_with_context(sample)}\n{OPTION_LETTER}"


def prompt_vlmevalkit(sample: Sample) -> str:
    """As the others without the word "Context: "."""
    hint = f"{sample.meta['hint']}\n" if sample.meta.get("hint") else ""
    return f"{hint}{_question_and_options(sample)}\n{OPTION_LETTER}"


def prompt_qwen_vl(sample: Sample) -> str:
    """The options behind the question, for a model that continues a text."""
    return qwen_vl_choice(sample.question, sample.meta.get("hint"), options_of(sample))


def _with_context(sample: Sample) -> str:
    context = f"Context: {sample.meta['hint']}\n" if sample.meta.get("hint") else ""
    return f"{context}{_question_and_options(sample)}"


def _question_and_options(sample: Sample) -> str:
    return f"{sample.question}\n{lettered(options_of(sample))}"


def options_of(sample: Sample) -> dict[str, str]:
    """By letter; a letter whose option is missing is left out, and the others keep theirs."""
    by_letter = zip(ascii_uppercase, sample.meta["choices"], strict=False)
    return {letter: text for letter, text in by_letter if text is not None}


def with_options(sample: Sample, options: Mapping[str, str], gold: str | None) -> Sample:
    """The same question with other texts at the letters that have one.

    Raises:
        UserError: where LLaVA's own text of the question holds other options than the data.
    """
    letters = ascii_uppercase[: len(sample.meta["choices"])]
    meta = {**sample.meta, "choices": tuple(options.get(letter) for letter in letters)}
    if text := meta.get("llava_text"):
        before = lettered(options_of(sample))
        if before not in text:
            raise UserError(f"scienceqa: question {sample.id}: its text in llava_test_CQM-A.json lacks its options")
        meta["llava_text"] = text.replace(before, lettered(options))
    return replace(sample, gold=gold, meta=meta)


THE_ANSWER_IS = re.compile(r"The answer is ([A-Z]).")
"""Any one character must follow the letter: the original's period is not escaped."""


def parse_letter(response: str) -> str:
    """The letter that LLaVA's scorer reads: the whole answer, or before ". ", or in the one "The answer is X."

    "A.", "(A)" and "a" are not understood. "FAILED" if there is none.
    Source: LLaVA `eval_science_qa.py`; spec 8.
    """
    if response in LETTERS and len(response) == 1:
        return response
    if response[:1] in LETTERS and response[1:3] == ". ":
        return response[0]
    found = THE_ANSWER_IS.findall(response)
    return found[0] if len(found) == 1 else "FAILED"


def score_llava(sample: Sample, response: str) -> SampleScore:
    """A letter beyond the options of the question is wrong."""
    return _score(sample, parse_letter(response))


def score_lmms_eval(sample: Sample, response: str) -> SampleScore:
    """The letter in any case, or a capital before a period: unlike LLaVA's, "A." is one and "The answer is A." is not.

    Source: lmms-eval `scienceqa/utils.py`, `sqa_process_results`.
    """
    answer = response.strip()
    if answer[:1].isupper() and answer[1:2] == ".":
        return _score(sample, answer[0])
    return _score(sample, answer.upper() if len(answer) == 1 else "FAILED")


def score_vlmevalkit(sample: Sample, response: str) -> SampleScore:
    """A letter or the text of an option; without VLMEvalKit's language model for what is neither."""
    return _score(sample, letter_by_vlmevalkit(response, options_of(sample)) or "FAILED")


def letters(sample: Sample) -> tuple[str, ...]:
    """Of the question's options: what may be answered."""
    return tuple(options_of(sample))


def score_likelihood(sample: Sample, response: str) -> SampleScore:
    """The likeliest letter, and its probability among those of the options."""
    return {**_score(sample, response), **confidence(sample, response)}


def _score(sample: Sample, prediction: str) -> SampleScore:
    all_letters = ascii_uppercase[: len(sample.meta["choices"])]
    return {
        **{name: sample.meta[name] for name in ("subject", "grade") if name in sample.meta},
        "has_image": int(bool(sample.images)),
        "has_text": int(bool(sample.meta.get("hint"))),
        "gold": sample.gold,
        "prediction": prediction,
        "choice": all_letters.find(prediction) if prediction else -1,
        "correct": int(prediction == sample.gold),
    }


@of_totals
def aggregate(scores: Scores[SampleScore]) -> Result:
    """Headline: accuracy in percent on the questions with a picture; on all of them, and by kind, beside it.

    As in ScienceQA's paper, a question with hint and picture counts in both contexts, NO has neither.
    """
    context = {
        "TXT": scores.where(lambda score: score["has_text"]),
        "IMG": scores.where(lambda score: score["has_image"]),
        "NO": scores.where(lambda score: not score["has_text"] and not score["has_image"]),
    }
    metrics: dict[str, Any] = {"img": percent(context["IMG"], "correct"), "all": percent(scores, "correct")}
    metrics["samples"] = {"img": len(context["IMG"]), "all": len(scores)}
    for kind in ("subject", "grade"):
        if table := percent_by(scores, kind, "correct"):
            metrics[kind] = table
            metrics["context"] = {
                name: {"accuracy": percent(of_context, "correct"), "samples": len(of_context)}
                for name, of_context in context.items()
                if of_context
            }
    return Result(headline=metrics["img"], metrics=metrics)
