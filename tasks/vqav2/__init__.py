"""VQAv2: open questions about COCO pictures, each answered by ten people.

Papers report test-dev, whose answers are hidden: its number comes from the server, for the file that `moe-eval submit`
writes. The validation split can be scored here.
"""

from moe_eval.task import Card, Submission, Task

from .data import SPLITS, load_hf, load_hub, load_llava, load_mini
from .scoring import PROTOCOLS
from .submission import write_submission

__all__ = ["TASK"]

TASK = Task(
    name="vqav2",
    title="VQAv2",
    card=Card(
        measures="open questions about everyday pictures, scored by agreement with ten people",
        size="test-dev 107,394 questions (hidden answers), validation 214,354, test 447,793, on COCO pictures",
        licence="annotations CC BY 4.0; pictures under Flickr's terms",
        citation="Goyal et al., Making the V in VQA Matter, CVPR 2017 (arXiv 1612.00837)",
        pitfalls=(
            "Papers print test-dev, whose number only the server (EvalAI challenge 830) gives; validation is usually 1-2 points lower.",
            "The server normalises nothing where all ten people wrote the same: unanimous answers with capitals, hyphens or symbols are lost.",
            "LLaVA uploads answers normalised by m4c first, which splits off 's: \"Macy's\" never matches. The protocol `official` scores answers as they are.",
            "lmms-eval normalises always, and scores validation; it allows 16 new tokens instead of 128.",
            "The upload must hold all of test2015, not only test-dev.",
        ),
    ),
    max_new_tokens=128,
    protocols=PROTOCOLS,
    sources={"llava": load_llava, "hub": load_hub, "hf": load_hf, "mini": load_mini},
    submission=Submission(
        filename="vqav2_test2015.json",
        upload="https://eval.ai/web/challenges/challenge-page/830 (phase Test-Dev)",
        scored_here="hub:validation",
        write=write_submission,
        rows=SPLITS["test"],
        may_leave_out=True,
    ),
    repository="lmms-lab/VQAv2",
)
