"""Yes or no, read from free text as VLMEvalKit does for POPE and MME."""

from typing import Literal

from moe_eval.metrics.answer_text import strip_punctuation_vlmevalkit

__all__ = ["extract_yes_no"]


def extract_yes_no(response: str) -> Literal["Yes", "No", "Unknown"]:
    """The one of "yes" and "no" that occurs as a word while the other does not.

    Source: VLMEvalKit `yorn.py`, `YOrN_Extraction`, without its language model for the unknown ones.
    """
    words = strip_punctuation_vlmevalkit(response.lower()).split()
    if ("yes" in words) == ("no" in words):
        return "Unknown"
    return "Yes" if "yes" in words else "No"
