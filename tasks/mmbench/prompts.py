"""How MMBench is asked."""

from collections.abc import Mapping
from dataclasses import replace

from moe_eval.prompts import OPTION_LETTER, lettered, qwen_vl_choice
from moe_eval.task import Sample

__all__ = [
    "LETTERS",
    "letters",
    "movable_options",
    "options_of",
    "prompt_llava",
    "prompt_lmms_eval",
    "prompt_qwen_vl",
    "prompt_vlmevalkit",
    "with_options",
]


LETTERS = "ABCD"
NO_OPTION = ("nan", "none")
"""Texts, in whatever case, that LLaVA takes for a missing option."""
CHINESE_LETTER = {"llava": "请直接回答选项字母。", "lmms-eval": "请直接使用所提供的选项字母作为答案回答。"}


def prompt_llava(sample: Sample) -> str:
    """Hint, question, options up to the first that is missing ("nan" and "none" are, too), letter suffix."""
    return "\n".join([*_hint(sample), sample.question, lettered(_asked_options(sample)), _suffix(sample, "llava")])


def letters(sample: Sample) -> tuple[str, ...]:
    """Of the options that `prompt_llava` shows: what may be answered."""
    return tuple(_asked_options(sample))


def _asked_options(sample: Sample) -> dict[str, str]:
    options = {}
    for letter in LETTERS:
        text = sample.meta["options"].get(letter)
        if text is None or text.lower() in NO_OPTION:
            break
        options[letter] = text
    return options


def movable_options(sample: Sample) -> dict[str, str]:
    """Options that can stand at another letter: not "nan" and "none", where LLaVA's list of options ends."""
    return {letter: text for letter, text in sample.meta["options"].items() if text.lower() not in NO_OPTION}


def with_options(sample: Sample, options: Mapping[str, str], gold: str | None) -> Sample:
    """The same row with other texts at these letters."""
    return replace(sample, gold=gold, meta={**sample.meta, "options": {**sample.meta["options"], **options}})


def prompt_lmms_eval(sample: Sample) -> str:
    """On one line, with "There are several options:"; a blank line before the suffix."""
    options = {letter: text for letter, text in sample.meta["options"].items() if text not in ("", "nan")}
    start = " ".join([*_hint(sample), sample.question, "There are several options:"])
    return f"{start}\n{lettered(options)}\n\n{_suffix(sample, 'lmms-eval')}"


def prompt_qwen_vl(sample: Sample) -> str:
    """The options behind the question, for a model that continues a text."""
    return qwen_vl_choice(sample.question, "".join(_hint(sample)), _asked_options(sample))


def prompt_vlmevalkit(sample: Sample) -> str:
    """As its wrapper for LLaVA asks: all options, and a hint where there is one."""
    return "\n".join([*_hint(sample), sample.question, lettered(options_of(sample)), _suffix(sample, "llava")])


def _hint(sample: Sample) -> list[str]:
    hint = sample.meta.get("hint")
    return [hint] if hint and hint != "nan" else []


def _suffix(sample: Sample, protocol: str) -> str:
    return CHINESE_LETTER[protocol] if sample.meta.get("language") == "cn" else OPTION_LETTER


def options_of(sample: Sample) -> dict[str, str]:
    """Options as pandas has them: text that says "nan" is none."""
    return {letter: text for letter, text in sample.meta["options"].items() if text != "nan"}
