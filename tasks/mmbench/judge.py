"""A language model reads the answers whose letter the rules do not find."""

import json
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from moe_eval.metrics.multiple_choice import letter_by_lmms_eval, letter_by_vlmevalkit
from moe_eval.task import (
    JudgeCall,
    Judgement,
    Sample,
)

from .prompts import LETTERS, options_of

__all__ = ["match_as_lmms_eval", "match_as_vlmevalkit", "undecided"]


LETTER_PROMPTS = json.loads((Path(__file__).parent / "letter_prompts.json").read_text(encoding="utf-8"))

CHINESE = re.compile("[\u4e00-\u9fff]")

TRIES = 3


def match_as_lmms_eval(sample: Sample, response: str) -> Judgement:
    """The letter of the option that is most like the answer, E for none, as lmms-eval's `gpt_eval` asks for it.

    Three tries; then a random letter, here always the same one for a question, so that a run can be repeated.
    Source: lmms-eval `mmbench_evals.py`, `extract_answer_from_item`; spec 9.
    """
    options = sample.meta["options"]
    question = _letter_question("lmms_eval", sample, _leading(options), response.strip())
    for _ in range(TRIES):
        reply = yield JudgeCall(question, temperature=0.0, max_tokens=256)
        if letter := letter_by_lmms_eval(reply.strip(), options):
            return letter
    return _random_letter(sample, f"{LETTERS}E")


def match_as_vlmevalkit(sample: Sample, response: str) -> Judgement:
    """The letter of the option that is most like the answer, Z for none, as VLMEvalKit asks for it.

    In Chinese where the question is. Three tries; then a random letter, here always the same one for a question.
    Source: VLMEvalKit `multiple_choice.py`, `extract_answer_from_item`; spec 9.
    """
    options = options_of(sample)
    name = "vlmevalkit_cn" if CHINESE.search(sample.question) else "vlmevalkit"
    question = _letter_question(name, sample, options, response.strip())
    for _ in range(TRIES):
        reply = yield JudgeCall(question, temperature=0.0, max_tokens=1024)
        if letter := letter_by_vlmevalkit(reply, options):
            return letter
    return _random_letter(sample, [*options, "Z"])


def undecided(
    read: Callable[[Sample, str], str], samples: Sequence[Sample], answers: Mapping[str, str]
) -> list[Sample]:
    """Samples whose answers the rules do not read, of questions that no other rotation has lost already.

    Args:
        read: the letter by rules, empty if there is none.
    """
    letters = {sample.id: read(sample, answers[sample.id]) for sample in samples}
    lost = {sample.group for sample in samples if letters[sample.id] and letters[sample.id] != sample.gold}
    return [sample for sample in samples if not letters[sample.id] and sample.group not in lost]


def _letter_question(name: str, sample: Sample, options: Mapping[str, str], answer: str) -> str:
    listed = "".join(f"{letter}. {text}\n" for letter, text in options.items())
    return str(LETTER_PROMPTS[name]).format(sample.question, f"There are several options: \n{listed}", answer)


def _leading(options: Mapping[str, str]) -> dict[str, str]:
    """Options up to the first that is missing."""
    count = next((place for place, letter in enumerate(LETTERS) if letter not in options), len(LETTERS))
    return {letter: options[letter] for letter in LETTERS[:count]}


def _random_letter(sample: Sample, letters: Iterable[str]) -> str:
    return random.Random(sample.id).choice(list(letters))
