"""VizWiz-VQA: questions that blind people asked about photos they took, each answered by ten people.

Papers report the test split, whose answers are hidden. The validation split can be scored here.
"""

from moe_eval.task import Card, Submission, Task

from .data import answer_id, load_hf, load_hub, load_llava, load_mini, load_tsv
from .peers import PEERS
from .scoring import PROTOCOLS
from .submission import write_submission

__all__ = ["TASK"]

TASK = Task(
    name="vizwiz",
    title="VizWiz",
    card=Card(
        measures="questions of blind people about their own photos, many of which cannot be answered",
        size="test 8,000 questions (hidden answers), validation 4,319",
        licence="CC BY 4.0",
        citation="Gurari et al., VizWiz Grand Challenge, CVPR 2018 (arXiv 1802.08218)",
        pitfalls=(
            "Papers print test, whose number only the server gives; lmms-eval and VLMEvalKit score validation.",
            "The sentence about 'Unanswerable' decides: with it LLaVA-1.5 gets 67.8 % of the unanswerable questions, without it 11.1 %. VLMEvalKit asks without it.",
            "LLaVA uploads answers normalised by m4c, which splits off 's; 28 of its 8,000 answers are lost to that.",
            "The official scorer leaves reference answers as they are; lmms-eval and VLMEvalKit normalise them.",
            "TinyGPT-V's 33.4 is validation, and an answer that is part of a reference is right, the empty one always: --protocol tinygpt-v.",
            "lmms-eval writes all but the first letter of the question in lower case.",
        ),
    ),
    max_new_tokens=128,
    protocols=PROTOCOLS | PEERS,
    sources={"llava": load_llava, "hub": load_hub, "hf": load_hf, "tsv": load_tsv, "mini": load_mini},
    answer_id=answer_id,
    submission=Submission(
        filename="vizwiz_test.json",
        upload="https://eval.ai/web/challenges/challenge-page/2185 (phase test-standard)",
        scored_here="hub:val",
        write=write_submission,
        rows=8000,
    ),
    repository="lmms-lab/VizWiz-VQA",
)
