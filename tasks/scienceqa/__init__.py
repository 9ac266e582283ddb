"""ScienceQA: multiple-choice questions from American schools, half of them about a picture.

LLaVA and MoE-LLaVA answer all 4,241 test questions and report the accuracy on the 2,017 with a picture (SQA-IMG).
"""

from dataclasses import replace

from moe_eval.metrics.calibration import WITHOUT_MAXIMUM, with_calibration
from moe_eval.metrics.likelihood import is_correct
from moe_eval.task import Card, Options, Task, TaskProtocol

from .data import answer_id, load_answers, load_hf, load_hub, load_llava, load_mini, load_tsv
from .scoring import (
    aggregate,
    letters,
    options_of,
    prompt_llava,
    prompt_lmms_eval,
    prompt_qwen_vl,
    prompt_vlmevalkit,
    score_likelihood,
    score_llava,
    score_lmms_eval,
    score_vlmevalkit,
    with_options,
)

__all__ = ["TASK"]

LIKELIHOOD = TaskProtocol(
    "IMG accuracy (%)",
    prompt_llava,
    score_likelihood,
    with_calibration(aggregate, "confidence", is_correct),
    continuations=letters,
    maxima=WITHOUT_MAXIMUM,
)

TASK = Task(
    name="scienceqa",
    title="SQA-IMG",
    card=Card(
        measures="multiple-choice questions from school science, with and without a picture and a hint",
        size="4,241 test questions with 2 to 5 options, 2,017 of them with a picture (SQA-IMG)",
        licence="CC BY-NC-SA 4.0",
        citation="Lu et al., Learn to Explain: Multimodal Reasoning via Thought Chains for Science Question Answering, NeurIPS 2022 (arXiv 2209.09513)",
        pitfalls=(
            "Papers print the accuracy on the questions with a picture; the others are answered, too.",
            'LLaVA\'s parser understands "A", "A. text" and "The answer is A.", but neither "A." nor "(A)" nor "a".',
            "Pictures are fed unpadded by MoE-LLaVA, padded to a square by LLaVA.",
            "The hub's rows carry no ids: LLaVA's answer files need --data llava:DIR.",
        ),
    ),
    max_new_tokens=1024,
    protocols={
        "llava": TaskProtocol("IMG accuracy (%)", prompt_llava, score_llava, aggregate),
        "lmms-eval": TaskProtocol(
            "IMG accuracy (%)", prompt_lmms_eval, score_lmms_eval, aggregate, max_new_tokens=16, upright=True
        ),
        "vlmevalkit": TaskProtocol(
            "IMG accuracy (%)", prompt_vlmevalkit, score_vlmevalkit, aggregate, max_new_tokens=2048
        ),
        "likelihood": LIKELIHOOD,
        "qwen-vl": replace(LIKELIHOOD, prompt=prompt_qwen_vl),
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
    repository="lmms-lab/ScienceQA",
    options=Options(options_of, with_options),
)
