"""POPE: does a model say that things are in a picture that are not? Yes/no questions in three categories.

The categories share their "yes" questions and differ in how the absent object of the "no" questions was chosen:
at random, among the most frequent ones (popular), or among those that often appear beside what is there
(adversarial).

Two versions of the questions are around, and both ship with this package (`tasks/pope`): the 8,910 that LLaVA,
MoE-LLaVA and comparable papers score (POPE commit e3e39262), and today's 9,000 (3df3ba1).
"""

from moe_eval.task import Card, Task

from .data import answer_id, load_hf, load_hub, load_llava, load_mini, load_official, load_tsv
from .scoring import PROTOCOLS

__all__ = ["TASK"]

TASK = Task(
    name="pope",
    title="POPE",
    card=Card(
        measures="object hallucination: yes/no questions about objects that are or are not in a picture",
        size="8,910 questions (adversarial 3,000, random 2,910, popular 3,000) on 500 pictures of COCO val2014",
        licence="questions MIT; COCO annotations CC BY 4.0; pictures under Flickr's terms",
        citation="Li et al., Evaluating Object Hallucination in Large Vision-Language Models, EMNLP 2023 (arXiv 2305.10355)",
        pitfalls=(
            "Papers print the mean of three F1 scores; lmms-eval and VLMEvalKit print one over all questions.",
            "Today's POPE files and the hub's hold 9,000 questions; the random category differs from the 8,910.",
            'The parser says "yes" to everything without the exact words No, no or not in its first sentence.',
            "lmms-eval wants the bare word and VLMEvalKit one word of the two: models that explain score lower there.",
            "Look at the yes-ratio: a model that always says yes gets an F1 of 66.7. lmms-eval's is that of the gold.",
        ),
    ),
    max_new_tokens=128,
    protocols=PROTOCOLS,
    sources={
        "official": load_official,
        "llava": load_llava,
        "hub": load_hub,
        "hf": load_hf,
        "tsv": load_tsv,
        "mini": load_mini,
    },
    answer_id=answer_id,
    repository="lmms-lab/POPE",
)
