"""MMBench: multiple-choice questions on twenty abilities, each asked again with its options rotated.

A question counts in the headline, the circular accuracy, only if it is answered right in every rotation. Rows of the
data are rotations: `index % 1,000,000` is the question, `index // 1,000,000` the rotation, and options and answer are
rotated already.
"""

from dataclasses import replace
from functools import partial

from moe_eval.metrics.calibration import WITHOUT_MAXIMUM, with_calibration
from moe_eval.metrics.likelihood import is_correct
from moe_eval.metrics.totals import of_totals
from moe_eval.task import (
    Card,
    Judge,
    Options,
    Submission,
    Task,
    TaskProtocol,
)

from .data import answer_id, load_answers, load_hf, load_hub, load_llava, load_mini, load_tsv
from .judge import match_as_lmms_eval, match_as_vlmevalkit, undecided
from .prompts import (
    letters,
    movable_options,
    prompt_llava,
    prompt_lmms_eval,
    prompt_qwen_vl,
    prompt_vlmevalkit,
    with_options,
)
from .scoring import (
    aggregate,
    read_as_lmms_eval,
    read_as_vlmevalkit,
    score_likelihood,
    score_llava,
    score_lmms_eval,
    score_vlmevalkit,
)
from .submission import write_submission

__all__ = ["TASK"]

LIKELIHOOD = TaskProtocol(
    "circular accuracy (%)",
    prompt_llava,
    score_likelihood,
    with_calibration(partial(aggregate, readings={}), "confidence", is_correct),
    continuations=letters,
    maxima=WITHOUT_MAXIMUM,
)

TASK = Task(
    name="mmbench",
    title="MMBench",
    card=Card(
        measures="twenty abilities in six groups, by multiple-choice questions asked in every rotation of their options",
        size="dev 4,377 rows (1,176 questions, version 2023-07-12); test 6,666 rows (1,784 questions, hidden answers)",
        licence="Apache-2.0; pictures and questions from several sources under their own terms",
        citation="Liu et al., MMBench: Is Your Multi-modal Model an All-around Player?, ECCV 2024 (arXiv 2307.06281)",
        pitfalls=(
            "Papers print circular accuracy; single-pass is about nine points higher for the same answers.",
            "Today's dev set (VLMEvalKit, the hub's default) is a later version with 4,329 rows.",
            "The protocol llava counts bare letters only; the server resolves other answers by rules and a language model.",
            "Under lmms-eval and vlmevalkit, too, a language model reads what the rules leave open, if `moe-eval judge` is "
            "run; without, `letters_unresolved` says how many those are, and static rules or nobody reads them.",
            "A judge is not asked about questions that another rotation has lost, so single-pass is partly without it.",
            "lmms-eval asks with options behind the question on one line, which some models take badly.",
            "The Chinese set is asked with another suffix in LLaVA than in lmms-eval.",
        ),
    ),
    max_new_tokens=1024,
    protocols={
        "llava": TaskProtocol(
            "circular accuracy (%)",
            prompt_llava,
            score_llava,
            of_totals(partial(aggregate, readings={"circular_resolved": "resolved"})),
        ),
        "lmms-eval": TaskProtocol(
            "circular accuracy (%)",
            prompt_lmms_eval,
            score_lmms_eval,
            of_totals(partial(aggregate, readings={"circular_prefetch_only": "resolved"})),
            judge=Judge("gpt-4o-2024-11-20", match_as_lmms_eval, undecided=partial(undecided, read_as_lmms_eval)),
            upright=True,
        ),
        "vlmevalkit": TaskProtocol(
            "circular accuracy (%)",
            prompt_vlmevalkit,
            score_vlmevalkit,
            of_totals(partial(aggregate, readings={})),
            max_new_tokens=2048,
            judge=Judge("gpt-3.5-turbo-0125", match_as_vlmevalkit, undecided=partial(undecided, read_as_vlmevalkit)),
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
    answer_id=answer_id,
    submission=Submission(
        filename="mmbench.xlsx",
        upload="https://mmbench.opencompass.org.cn/mmbench-submission",
        write=write_submission,
    ),
    repository="lmms-lab/MMBench_EN",
    options=Options(movable_options, with_options),
)
