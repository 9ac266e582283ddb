"""The letter that a free-text answer to a multiple-choice question means, as lmms-eval and VLMEvalKit read it.

Options are a mapping from letter to text, in order. Every function takes any string, and gives "" where it cannot
tell.
"""

import re
from collections.abc import Mapping, Sequence

__all__ = [
    "letter_by_lmms_eval",
    "letter_by_static_rules",
    "letter_by_vlmevalkit",
    "option_by_lmms_eval",
    "option_by_vlmevalkit",
]

API_FAILURE = "Failed to obtain answer via API"

# --- lmms-eval, which keeps MMBench's own first code ----------------------------------------------------------------

LETTERS = "ABCDE"
"""All that are looked for, however many options a question has."""

FRAMES = ["{}.", "{},", "{}:", "{})", "{}).", "({})", "({}).", ":{}", ":{},", ":{}.", ":{})", ":{})."]
"""Ways to write a letter, in the order in which they are tried."""


def letter_by_lmms_eval(response: str, options: Mapping[str, str]) -> str:
    """The letter if the response names one, else the only option whose text occurs in it.

    Source: lmms-eval `mmbench_evals.py`, `can_infer`, without its language model; spec 9.
    """
    return option_by_lmms_eval(response) or _only_option_within(response.lower(), options)


def option_by_lmms_eval(response: str) -> str:
    """The only one of A to E that is a word of the response, bare or else in the first frame that has just one.

    Bare letters do not count in a response of more than three words that has an "A", which may be an article.
    Source: lmms-eval `mmbench_evals.py`, `can_infer_option`.
    """
    if API_FAILURE in response:
        return ""
    words = response.split()
    bare = [letter for letter in LETTERS if letter in words]
    if len(bare) == 1 and not ("A" in words and len(words) > 3):
        return bare[0]
    for frame in FRAMES:
        framed = [letter for letter in LETTERS if frame.format(letter) in words]
        if len(framed) == 1:
            return framed[0]
    return ""


# The first occurrence of each counts, so "answer is" and "the answer is" can point to different places.
ANSWER_PHRASES = (
    *("the answer is", "answer is", "the correct answer is", "correct answer is", "the best answer is"),
    *("best answer is", "the correct option is", "correct option is", "the best option is", "best option is"),
    *("the choice is", "choice is", "the correct choice is", "correct choice is", "i choose", "i select", "i pick"),
    *("my answer is", "my choice is", "옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"),
)


def letter_by_static_rules(response: str, letters: Sequence[str]) -> str:
    """The letter in the most telling place: first that the response starts with it, last that it occurs at all.

    Of several in equally telling places, the last one in the text counts; of several there, the first in `letters`.
    Source: lmms-eval `mcq_extract.py`, `extract_mcq_answer`, its stand-in for the language model (`static`).
    """
    text = response.strip()
    if not text:
        return ""
    for mark in ",.!?;:'\"":  # one after the other, so `".A` keeps its quotation mark
        text = text.strip(mark)
    padded, bare = f" {text} ", text.strip()
    candidates: list[tuple[int, int, str]] = []  # how telling, where, which
    for telling, frame in ((6, "({})"), (5, "{}."), (4, "{}:"), (3, "{})"), (2, "{} ")):
        for letter in letters:
            if (place := padded.rfind(frame.format(letter))) >= 0:
                candidates.append((telling, place, letter))
    lowered = padded.lower()
    for phrase in ANSWER_PHRASES:
        if (start := lowered.find(phrase)) >= 0:
            places = ((padded.find(letter, start + len(phrase)), letter) for letter in letters)
            candidates.extend((7, place, letter) for place, letter in places if place >= 0)
    for letter in letters:
        if bare.startswith(letter) and (len(bare) == 1 or not bare[1].isalpha()):
            candidates.append((10, 0, letter))
        if bare.endswith(letter) and (len(bare) == 1 or not bare[-2].isalpha()):
            candidates.append((9, len(padded) - 1, letter))
    if not candidates:
        candidates = [(0, padded.rfind(letter), letter) for letter in letters if letter in padded]
    return max(candidates, key=lambda candidate: candidate[:2], default=(0, 0, ""))[2]


# --- VLMEvalKit -----------------------------------------------------------------------------------------------------

REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
BLANKED = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
ANSWER_IS = re.compile(r"(?:correct\s+)?answer\s+is\s+\**([ABCD])\**", re.IGNORECASE)


def letter_by_vlmevalkit(response: str, options: Mapping[str, str]) -> str:
    """The letter if the response names one, else the only option whose text occurs in it; "Z" for a refusal.

    Option texts are looked for only in responses that are at most twice as long as all of them together.
    Source: VLMEvalKit `matching_util.py`, `can_infer`, `VERBOSE` unset; spec 9.
    """
    if letter := option_by_vlmevalkit(response, options):
        return letter
    lowered = response.lower()
    if len(lowered) > 2 * sum(map(len, options.values())):
        return ""
    return _only_option_within(lowered, options)


def option_by_vlmevalkit(response: str, options: Mapping[str, str]) -> str:
    """The only one of the options' letters that is a word, among the last four, or the one in "answer is X".

    Source: VLMEvalKit `matching_util.py`, `can_infer_option`.
    """
    if API_FAILURE in response:
        return ""
    if any(refusal in response for refusal in REFUSALS):
        return "Z"
    words = response.translate(BLANKED).split()
    named = [letter for letter in options if letter in words]
    if len(named) == 1 and words.index(named[0]) > len(words) - 5:
        return named[0]
    if not named and "Z" in words:
        return "Z"
    match = ANSWER_IS.search(response)
    return match[1].upper() if match and match[1].upper() in options else ""


def _only_option_within(lowered: str, options: Mapping[str, str]) -> str:
    within = [letter for letter, text in options.items() if text.lower() in lowered]
    return within[0] if len(within) == 1 else ""
