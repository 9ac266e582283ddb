"""GQA: compositional questions made from scene graphs, with one answer each.

Papers report the exact match on testdev-balanced. The official scorer also looks at kinds of questions, at consistency
between questions that imply each other, and at how answers are distributed.
"""

from moe_eval.task import Card, Task

from .data import load_hf, load_hub, load_llava, load_mini, load_tsv
from .peers import PEERS
from .scoring import PROTOCOLS

__all__ = ["TASK"]

TASK = Task(
    name="gqa",
    title="GQA",
    card=Card(
        measures="compositional questions about objects, attributes and relations in a picture",
        size="testdev-balanced: 12,578 questions on 398 pictures",
        licence="CC BY 4.0",
        citation="Hudson and Manning, GQA, CVPR 2019 (arXiv 1902.09506)",
        pitfalls=(
            'One gold answer, exact match: "a red car" is wrong where the answer is "car".',
            "The protocols differ on 8.5 % of the vectors: LLaVA removes periods at the end, lmms-eval all punctuation, VLMEvalKit none.",
            "Validity and plausibility print as 0: there is no choices file for testdev.",
            "Consistency needs answers to questions outside testdev-balanced; it is left out where they were not asked.",
            "TinyGPT-V's 33.6 counts a question as right if the answer holds the gold one anywhere: --protocol tinygpt-v.",
            "lmms-eval allows 16 new tokens instead of 128.",
        ),
    ),
    max_new_tokens=128,
    protocols=PROTOCOLS | PEERS,
    sources={"llava": load_llava, "hub": load_hub, "hf": load_hf, "tsv": load_tsv, "mini": load_mini},
    repository="lmms-lab/GQA",
)
