"""Yes or no, read from free text as VLMEvalKit does for POPE and MME."""

import re
from typing import Literal

__all__ = ["extract_yes_no", "strip_punctuation"]

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
DIGIT_COMMA_DIGIT = re.compile(r"(\d)(,)(\d)")
LONE_PERIOD = re.compile(r"(?<!\d)\.(?!\d)")
MOST_PERIODS = int(re.UNICODE)
"""32: the original passes this flag where `sub` takes the largest number of replacements."""


def strip_punctuation(text: str) -> str:
    """`text` without VQA's punctuation, with VLMEvalKit's rule for periods.

    A symbol next to a blank anywhere in the text is deleted everywhere, any other becomes a blank; all are deleted
    if a comma stands between two digits. A period goes unless a digit stands on either side, at most 32 of them.
    Source: VLMEvalKit `vqa_eval.py`, `process_punctuation`; spec 12 "period rule".
    """
    stripped = text
    grouped_digits = DIGIT_COMMA_DIGIT.search(text) is not None
    for symbol in PUNCTUATION:
        delete = grouped_digits or f"{symbol} " in text or f" {symbol}" in text
        stripped = stripped.replace(symbol, "" if delete else " ")
    return LONE_PERIOD.sub("", stripped, count=MOST_PERIODS)


def extract_yes_no(response: str) -> Literal["Yes", "No", "Unknown"]:
    """The one of "yes" and "no" that occurs as a word while the other does not.

    Source: VLMEvalKit `yorn.py`, `YOrN_Extraction`, without its language model for the unknown ones.
    """
    words = strip_punctuation(response.lower()).split()
    if ("yes" in words) == ("no" in words):
        return "Unknown"
    return "Yes" if "yes" in words else "No"
