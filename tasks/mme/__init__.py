"""MME: fourteen small tests of perception and cognition, two yes/no questions about each picture.

Of the two questions about a picture one is to be answered yes, the other no. A subtask's score is the percentage of
right answers (acc) plus the percentage of pictures with both answers right (acc+), so it lies between 0 and 200.
"""

from moe_eval.metrics.calibration import WITHOUT_MAXIMUM, with_calibration
from moe_eval.metrics.likelihood import is_yes, yes_or_no
from moe_eval.task import Card, Task, TaskProtocol

from .data import answer_id, load_answers, load_hf, load_hub, load_llava, load_mini, load_tsv
from .scoring import (
    MAXIMA,
    aggregate,
    maxima_on,
    prompt_llava,
    prompt_lmms_eval,
    prompt_vlmevalkit,
    score_likelihood,
    score_llava,
    score_lmms_eval,
    score_vlmevalkit,
)

__all__ = ["TASK"]

TASK = Task(
    name="mme",
    title="MME",
    card=Card(
        measures="perception (10 subtasks) and cognition (4): yes/no questions in pairs about a picture",
        size="2,374 questions on 1,187 pictures; perception 2,114, cognition 260",
        licence="academic research only; pictures under their sources' terms",
        citation="Fu et al., MME: A Comprehensive Evaluation Benchmark for Multimodal Large Language Models (arXiv 2306.13394)",
        pitfalls=(
            'The "MME" of most tables is the perception total, out of 2000; some add cognition, out of 800.',
            'The original reads only the first four characters, so verbose answers lose and "snow" means no.',
            "Half a subtask's score is acc+, which wants both answers about a picture right: always yes gets 50 of 200.",
            'LLaVA and lmms-eval take out "Please answer yes or no."; VLMEvalKit asks with it.',
            "Small subtasks (20 pictures) move by 5 to 10 points with one answer.",
        ),
    ),
    max_new_tokens=128,
    protocols={
        "llava": TaskProtocol(
            "perception (max 2000)",
            prompt_llava,
            score_llava,
            aggregate,
            maximum=2000,
            maxima=MAXIMA,
            maxima_on=maxima_on,
        ),
        "lmms-eval": TaskProtocol(
            "perception (max 2000)",
            prompt_lmms_eval,
            score_lmms_eval,
            aggregate,
            max_new_tokens=16,
            maximum=2000,
            maxima=MAXIMA,
            maxima_on=maxima_on,
            upright=True,
        ),
        "vlmevalkit": TaskProtocol(
            "perception (max 2000)",
            prompt_vlmevalkit,
            score_vlmevalkit,
            aggregate,
            max_new_tokens=2048,
            maximum=2000,
            maxima=MAXIMA,
            maxima_on=maxima_on,
        ),
        "likelihood": TaskProtocol(
            "perception (max 2000)",
            prompt_llava,
            score_likelihood,
            with_calibration(aggregate, "p_yes", is_yes),
            continuations=yes_or_no,
            maximum=2000,
            maxima={**MAXIMA, **WITHOUT_MAXIMUM},
            maxima_on=maxima_on,
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
    answer_id=answer_id,
    repository="lmms-lab/MME",
)
