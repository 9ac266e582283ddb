"""TextVQA: questions whose answers must be read in the picture, each answered by ten people.

LLaVA's prompts hold the words that an OCR system found ("Reference OCR token"), the other protocols' do not: compare
numbers only between runs that were asked the same way.
"""

from moe_eval.task import Card, Task

from .data import answer_id, load_hf, load_hub, load_llava, load_mini, load_tsv
from .scoring import PROTOCOLS

__all__ = ["TASK"]

TASK = Task(
    name="textvqa",
    title="TextVQA",
    card=Card(
        measures="reading text in pictures to answer questions about it",
        size="validation (v0.5.1) 5,000 questions on 3,166 OpenImages pictures; test 5,734 (hidden answers)",
        licence="CC BY 4.0",
        citation="Singh et al., Towards VQA Models That Can Read, CVPR 2019 (arXiv 1904.08920)",
        pitfalls=(
            "LLaVA's prompts hold OCR tokens, lmms-eval's and VLMEvalKit's do not: that is worth several points.",
            "lmms-eval writes all but the first letter of the question in lower case, which hurts names.",
            "LLaVA's question_id is the picture's and not unique; answers are joined by picture and question.",
            'VLMEvalKit keeps a period beside a digit ("3." is not "3") and splits off no \'s: 0.6 % of the answers score otherwise.',
            "VLMEvalKit's TSV has no OCR tokens, so the protocol llava cannot be asked with it.",
        ),
    ),
    max_new_tokens=128,
    protocols=PROTOCOLS,
    sources={"llava": load_llava, "hub": load_hub, "hf": load_hf, "tsv": load_tsv, "mini": load_mini},
    answer_id=answer_id,
    repository="lmms-lab/textvqa",
)
