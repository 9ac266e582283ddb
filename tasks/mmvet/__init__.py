"""MM-Vet: open questions that need several abilities at once, graded from 0 to 1 by a language model.

The grades come from `moe-eval judge` and reach the scorer as `sample.meta["grades"]`, one per run of the judge.
"""

from math import inf
from typing import Any

from moe_eval.task import (
    Card,
    Judge,
    NoGrade,
    Submission,
    Task,
    TaskProtocol,
)

from .data import answer_id, load_answers, load_hf, load_hub, load_llava, load_mini, load_tsv
from .judge import grade, grade_as_lmms_eval, grade_as_vlmevalkit
from .scoring import aggregate, prompt, prompt_lmms_eval, score
from .submission import write_submission

__all__ = ["TASK"]


def _protocol(ask: Any, judge: Judge, max_new_tokens: int | None = None, upright: bool = False) -> TaskProtocol:
    return TaskProtocol(
        "mean grade (%)", ask, score, aggregate, max_new_tokens, judge, maxima={"std": inf}, upright=upright
    )


TASK = Task(
    name="mmvet",
    title="MM-Vet",
    card=Card(
        measures="open questions that need several of six abilities: rec, ocr, know, gen, spat, math; graded by GPT-4",
        size="218 questions on 200 pictures, 16 combinations of abilities",
        licence="CC BY-NC 4.0",
        citation="Yu et al., MM-Vet: Evaluating Large Multimodal Models for Integrated Capabilities, ICML 2024 (arXiv 2308.02490)",
        pitfalls=(
            "The grade is the judge's: published numbers are gpt-4 of 2023 (MoE-LLaVA: gpt-4-0613, one run; the authors: five).",
            "Judges drift: the released LLaVA-1.5-7B answers, 31.1 in the paper, get 27.9 from today's official grader.",
            "The same judge differs by 0.2 to 0.5 between runs.",
            "lmms-eval asks for step-by-step reasoning, and its default judge is gpt-4o.",
            "lmms-eval samples answers at temperature 0.2 and asks for ever after a grade out of range; here greedy, five times.",
            "Pictures are fed unpadded by MoE-LLaVA, padded to a square by LLaVA.",
        ),
    ),
    max_new_tokens=1024,
    protocols={
        "llava": _protocol(prompt, Judge("gpt-4-0613", grade, refused=NoGrade(0.0))),
        "lmms-eval": _protocol(
            prompt_lmms_eval, Judge("gpt-4o-2024-11-20", grade_as_lmms_eval, refused=NoGrade(0.0)), upright=True
        ),
        "vlmevalkit": _protocol(
            prompt, Judge("gpt-4-turbo", grade_as_vlmevalkit, refused=NoGrade(0.0)), max_new_tokens=2048
        ),
    },
    sources={
        "answers": load_answers,
        "llava": load_llava,
        "tsv": load_tsv,
        "hub": load_hub,
        "hf": load_hf,
        "mini": load_mini,
    },
    unpadded_families=frozenset({"moe-llava", "llava-phi"}),
    answer_id=answer_id,
    submission=Submission(
        filename="mmvet.json",
        upload="https://huggingface.co/spaces/whyu/MM-Vet_Evaluator (or grade it with `moe-eval judge`)",
        write=write_submission,
        rows=218,
    ),
    repository="lmms-lab/MMVet",
)
