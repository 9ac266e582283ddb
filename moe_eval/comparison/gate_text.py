"""What the regression gate says: for a CI log, as JSON, as a Markdown summary, and as JUnit XML."""

import json
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from tabulate import tabulate

from moe_eval.comparison.flips import flips_of
from moe_eval.comparison.gate import TaskVerdict, Verdict, overall
from moe_eval.comparison.text import cell, flip_table, number, p_text, signed

__all__ = ["as_json", "as_junit", "as_log", "as_summary"]

SHOWN = 3
"""Answers that flipped, per task that is worse, in the log; the summary has ten."""


def as_log(verdicts: Sequence[TaskVerdict]) -> str:
    """A line per task, the answers that a worse one lost, and the verdict as the last line."""
    lines = []
    for one in verdicts:
        lines.append(f"{one.verdict.words:<11}  {one.task}: {_numbers(one)}{one.reason}")
        if one.verdict is Verdict.WORSE and one.comparison:
            lost, _, _ = flips_of(one.comparison, SHOWN)
            lines += [
                f"             lost {cell(flip.id)}: {cell(flip.question)} gold {cell(flip.gold)!r}, "
                f"was {cell(flip.answers[0])!r}, is {cell(flip.answers[1])!r}"
                for flip in lost
            ]
    return "\n".join([*lines, f"{overall(verdicts).words}"]) + "\n"


def as_json(verdicts: Sequence[TaskVerdict]) -> str:
    """The verdict over all, and each task's with the numbers that it rests on; `p` is corrected after Holm."""
    tasks = []
    for one in verdicts:
        found: dict[str, Any] = {"task": one.task, "verdict": one.verdict.words, "reason": one.reason}
        if one.comparison:
            difference = one.comparison.difference
            found |= {
                "headline": one.comparison.headline,
                "baseline": difference.first,
                "run": difference.second,
                "difference": difference.value,
                "interval": None if difference.low is None else [difference.low, difference.high],
                "p": one.comparison.adjusted,
            }
        tasks.append(found)
    return json.dumps({"verdict": overall(verdicts).words, "tasks": tasks}, indent=1, ensure_ascii=False) + "\n"


def _numbers(one: TaskVerdict) -> str:
    if one.comparison is None:
        return ""
    difference = one.comparison.difference
    interval = "" if difference.low is None else f" [{signed(difference.low)}, {signed(difference.high or 0.0)}]"
    return (
        f"{one.comparison.headline} {number(difference.first)} → {number(difference.second)}, "
        f"{signed(difference.value)}{interval}, p {p_text(one.comparison.adjusted)}; "
    )


def as_summary(verdicts: Sequence[TaskVerdict]) -> str:
    """A table, and for each worse task the answers that it lost: for a pull request or a job's summary page."""
    rows = []
    for one in verdicts:
        row = [f"**{one.verdict.words}**" if one.verdict else one.verdict.words, one.task]
        if one.comparison:
            difference = one.comparison.difference
            interval = "" if difference.low is None else f"[{signed(difference.low)}, {signed(difference.high or 0.0)}]"
            row += [number(difference.first), number(difference.second), signed(difference.value), interval]
            row += [p_text(one.comparison.adjusted), f"{one.comparison.test.won:,} / {one.comparison.test.lost:,}"]
        else:
            row += [""] * 6
        rows.append([*row, cell(one.reason, longest=500)])
    headers = ["verdict", "task", "baseline", "run", "difference", "95 % interval", "p (Holm)", "won / lost", "why"]
    lines = [f"## moe-eval check: {overall(verdicts).words}", ""]
    lines += [tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True)]
    for one in verdicts:
        lost = flips_of(one.comparison, 10)[0] if one.comparison and one.verdict is Verdict.WORSE else []
        if one.comparison and lost:
            lines += ["", f"### {one.task}: {len(lost):,} of {one.comparison.test.lost:,} answers that were lost", ""]
            lines += ["A is the baseline, B the run.", "", flip_table(lost)]
    return "\n".join(lines) + "\n"


def as_junit(verdicts: Sequence[TaskVerdict]) -> str:
    """A test case per task: worse is a failure, what cannot be told an error."""
    count = {verdict: sum(one.verdict is verdict for one in verdicts) for verdict in Verdict}
    suite = ElementTree.Element(
        "testsuite",
        name="moe-eval check",
        tests=str(len(verdicts)),
        failures=str(count[Verdict.WORSE]),
        errors=str(count[Verdict.CANNOT_TELL]),
    )
    for one in verdicts:
        model = one.comparison.second.run.model.name if one.comparison else "moe-eval"
        case = ElementTree.SubElement(suite, "testcase", classname=_xml(model), name=_xml(one.task))
        text = _xml(f"{_numbers(one)}{one.reason}")
        if one.verdict is Verdict.FINE:
            ElementTree.SubElement(case, "system-out").text = text
        else:
            kind = "failure" if one.verdict is Verdict.WORSE else "error"
            ElementTree.SubElement(case, kind, message=text, type=one.verdict.words)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold."""
    return "".join(character if character.isprintable() else " " for character in text)
