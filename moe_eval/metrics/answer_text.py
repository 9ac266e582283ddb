"""Short answers brought to a common form before they are compared, as each scorer of the VQA family does it.

All start from the same two steps of VQAv2's official scorer, punctuation and then words, and differ in what comes
before, in which periods go, and in what counts as a number with a comma. Sources: GT-Vision-Lab/VQA `vqaEval.py`,
LLaVA `m4c_evaluator.py`, VLMEvalKit `smp` and `vqa_eval.py`; spec sections 2 and 4.

The functions are cached, because the ten answers of a question are mostly the same few words again and again.
"""

import json
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

__all__ = [
    "clean_whitespace",
    "normalise_lmms_eval_vqav2",
    "normalise_m4c",
    "normalise_vlmevalkit",
    "normalise_vqa",
    "strip_punctuation_vlmevalkit",
]

_TABLES = json.loads((Path(__file__).parent / "vqa_normalisation.json").read_text(encoding="utf-8"))
_WORDS: dict[str, str] = _TABLES["contractions"] | _TABLES["numbers"] | dict.fromkeys(_TABLES["articles"], "")
_SYMBOLS = frozenset(_TABLES["punctuation"])

_NUMBER_VQA = re.compile(r"\d,\d")
_NUMBER_M4C = re.compile(r"(?<=\d),+(?=\d)")
_PERIOD = re.compile(r"\.(?!\d)")  # the original's look-behind, `(?!<=\d)`, is mistyped and never restricts
_PERIOD_VLMEVALKIT = re.compile(r"(?<!\d)\.(?!\d)")
_PERIODS_REMOVED = 32  # `re.UNICODE`, passed where `sub` takes the count

_LONGEST_CACHED = 128


def _cached(normalise: Callable[[str], str]) -> Callable[[str], str]:
    """Remember short strings; a model that rambles shall not fill the memory."""
    remembered = lru_cache(maxsize=1 << 17)(normalise)

    def of(text: str) -> str:
        return remembered(text) if len(text) <= _LONGEST_CACHED else normalise(text)

    of.__doc__ = normalise.__doc__
    return of


def clean_whitespace(text: str) -> str:
    """Line ends and tabs become blanks; none at either end. All that an official answer gets where all ten agree."""
    return text.replace("\n", " ").replace("\t", " ").strip()


@_cached
def normalise_vqa(text: str) -> str:
    """As VQAv2's official scorer where annotators disagree: whitespace, punctuation, then words."""
    return _map_words(_strip_punctuation(clean_whitespace(text), _NUMBER_VQA, _PERIOD))


@_cached
def normalise_m4c(text: str) -> str:
    """As LLaVA does before it uploads or compares, and lmms-eval ("EvalAI processor").

    Commas and question marks vanish without leaving a blank, and `'s` becomes a word of its own: "Macy's" is uploaded
    as "macy 's", which no reference answer equals.
    """
    text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    return _map_words(_strip_punctuation(clean_whitespace(text), _NUMBER_M4C, _PERIOD))


@_cached
def normalise_lmms_eval_vqav2(text: str) -> str:
    """As lmms-eval for VQAv2, prediction and references alike: VQAv2's steps with m4c's idea of a number ("1,,000")."""
    return _map_words(_strip_punctuation(clean_whitespace(text), _NUMBER_M4C, _PERIOD))


@_cached
def normalise_vlmevalkit(text: str) -> str:
    """As VLMEvalKit: VQAv2's steps, but a period beside a digit stays ("3." is not "3")."""
    return _map_words(strip_punctuation_vlmevalkit(clean_whitespace(text)))


def strip_punctuation_vlmevalkit(text: str) -> str:
    """VLMEvalKit's punctuation step alone, with which it also reads yes/no answers."""
    return _strip_punctuation(text, _NUMBER_VQA, _PERIOD_VLMEVALKIT)


def _strip_punctuation(text: str, number: re.Pattern[str], period: re.Pattern[str]) -> str:
    """Symbols go if they touch a blank anywhere or if the text holds a number with a comma, else they become blanks.

    Each symbol is judged by the text as it came, so the order in which they are treated does not matter.
    """
    symbols = _SYMBOLS.intersection(text)
    result = text
    if symbols:
        has_number = "," in symbols and number.search(text) is not None
        for symbol in symbols:
            goes = has_number or f"{symbol} " in text or f" {symbol}" in text
            result = result.replace(symbol, "" if goes else " ")
    return period.sub("", result, count=_PERIODS_REMOVED) if "." in result else result


def _map_words(text: str) -> str:
    """Lower case, number words as digits, no articles, apostrophes where they are missing; single blanks."""
    words = [_WORDS.get(word, word) for word in text.lower().split()]
    return " ".join([word for word in words if word])
