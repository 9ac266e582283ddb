"""A certificate as Markdown that is readable in a terminal, too, and as plain data."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from tabulate import tabulate

from moe_eval.comparison.certificate import LEVEL, Certificate
from moe_eval.comparison.text import cell, number, signed
from moe_eval.errors import UserError

__all__ = ["as_data", "as_markdown"]

HEADERS = ("task", "engine", "answers that differ", "control", "headline", "difference", "95 % interval", "verdict")


def as_markdown(certificates: Sequence[Certificate], control: str, most: int) -> str:
    """A row per task and engine, what the verdicts mean, and the questions that differ.

    Args:
        control: what the control is, such as `generate, batches of 16 and of 1`.
        most: questions to show, per task and engine.
    """
    rows = [_row(one) for one in certificates]
    lines = [
        f"held against: {certificates[0].engines[0]}; control: {control}",
        "",
        tabulate(rows, headers=HEADERS, tablefmt="pipe", disable_numparse=True),
        "",
        "- equal: every answer is the same text",
        "- within noise: not significantly more answers differ than in the control, and 0 is inside the interval",
        f"- different: more than in the control (McNemar's exact test, p < {LEVEL}), or 0 is outside the interval",
    ]
    for one in certificates:
        if one.differ and most:
            lines += [
                "",
                f"{one.task}, {one.engines[1]}: {min(most, len(one.differ))} of {len(one.differ):,} that differ",
                "",
            ]
            lines.append(
                tabulate(
                    [[cell(str(value)) for value in row.values()] for row in _questions(one, most)],
                    headers=["id", "question", *one.engines],
                    tablefmt="pipe",
                    disable_numparse=True,
                )
            )
    return "\n".join(lines) + "\n"


def as_data(certificates: Sequence[Certificate]) -> list[dict[str, Any]]:
    """The same as plain data, with every question that differs."""
    return [
        {
            "task": one.task,
            "headline": one.headline,
            "reference": one.engines[0],
            "engine": one.engines[1],
            "folders": [str(stored.folder) for stored in one.runs],
            "questions": one.questions,
            "differ": len(one.differ),
            "control": len(one.control),
            "p_value": one.p_value,
            "difference": asdict(one.difference) if one.difference else None,
            "verdict": one.verdict,
            "differing": list(_questions(one, len(one.differ))),
        }
        for one in certificates
    ]


def _row(one: Certificate) -> list[str]:
    difference = one.difference
    interval = ""
    if difference and difference.low is not None and difference.high is not None:
        interval = f"[{signed(difference.low)}, {signed(difference.high)}]"
    return [
        one.task,
        one.engines[1],
        _share(len(one.differ), one.questions),
        _share(len(one.control), one.questions),
        f"{one.headline} {number(difference.second)}" if difference else one.headline,
        signed(difference.value) if difference else "",
        interval,
        one.verdict,
    ]


def _share(count: int, of: int) -> str:
    return f"{count:,} of {of:,} ({100 * count / of:.2f} %)" if of else "0"


def _questions(one: Certificate, most: int) -> Iterator[dict[str, str]]:
    """The first questions that differ; without their words where the data are not at hand."""
    try:
        samples = one.runs[0].samples
    except UserError:
        samples = {}
    for name in one.differ[:most]:
        yield {
            "id": name,
            "question": samples[name].question if name in samples else "",
            **{engine: run.answers.get(name, "") for engine, run in zip(one.engines, one.runs, strict=True)},
        }
