"""How a language model grades MM-Vet's answers."""

import json
from collections.abc import Generator
from pathlib import Path

from moe_eval.task import (
    JudgeCall,
    Judgement,
    NoGrade,
    Sample,
)

__all__ = ["PROMPTS", "grade", "grade_as_lmms_eval", "grade_as_vlmevalkit"]


PROMPTS = json.loads((Path(__file__).parent / "grader_prompts.json").read_text(encoding="utf-8"))


def grade(sample: Sample, response: str) -> Judgement:
    """MM-Vet's own dialogue about one answer.

    One call; as long as the reply is no grade, up to five more that beg for a digit, ever hotter. The reply to the
    last one is not looked at: the grade is then 0.
    Source: MM-Vet `mm-vet_evaluator.py`; spec 10.
    """
    question = f"{PROMPTS['mm_vet']}\n{_row(sample, response)} | "
    reply = yield JudgeCall(question, temperature=0.0, max_tokens=3)
    for temperature in (0.0, 0.5, 1.0, 1.5, 2.0):
        value = _first_number(reply)
        if value is not None:
            return value
        reply = yield JudgeCall(question + PROMPTS["retry_suffix"], temperature, max_tokens=3)
    return NoGrade(0.0)


def grade_as_lmms_eval(sample: Sample, response: str) -> Judgement:
    """lmms-eval's dialogue: its own header, no blank after the last bar, longer replies.

    An empty reply is asked for again, three times in all, and is a 0 then. Where a reply is no number it asks twice,
    hotter by 0.5, and reads the second reply. A number that is out of range makes it ask the same again, without end;
    here, five times in all.
    Source: lmms-eval `mmvet/utils.py`, `mmvet_process_results`.
    """
    question = f"{PROMPTS['lmms_eval']}\n{_row(sample, response)} |"
    temperature, out_of_range = 0.0, 0
    while out_of_range < 5:
        reply = yield from _reply_to_lmms_eval(question, temperature)
        if not reply:
            return NoGrade(0.0)
        value = _number(reply.split(" ")[0])
        if value is None:
            temperature += 0.5
            yield from _reply_to_lmms_eval(question, temperature)
            if temperature >= 2:
                return NoGrade(0.0)
        elif 0.0 <= value <= 1.0:
            return value
        else:
            out_of_range += 1
    return NoGrade(0.0)


def _reply_to_lmms_eval(question: str, temperature: float) -> Generator[JudgeCall, str, str]:
    """The first of at most three replies that says anything."""
    for _ in range(3):
        reply = (yield JudgeCall(question, temperature, max_tokens=128)).strip()
        if reply:
            return reply
    return ""


def grade_as_vlmevalkit(sample: Sample, response: str) -> Judgement:
    """VLMEvalKit's dialogue: five calls, ever hotter; the whole reply must be a number.

    Its text before the row is MM-Vet's with line ends put in; ours has none.
    """
    question = f"{PROMPTS['mm_vet']}\n{_row(sample, response)} | "
    for attempt in range(5):
        value = _number((yield JudgeCall(question, temperature=0.5 * attempt, max_tokens=1024)))
        if value is not None and 0.0 <= value <= 1.0:
            return value
    return NoGrade(0.0)


def _row(sample: Sample, response: str) -> str:
    truth = str(sample.gold).replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
    return f"{sample.question} | {truth} | {response}"


def _first_number(reply: str) -> float | None:
    """The grade that a reply starts with. A leading blank hides it, and "nan" is one: so has the original."""
    value = _number(reply.split(" ")[0].strip())
    return None if value is None or value < 0 or value > 1 else value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
