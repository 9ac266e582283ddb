"""Headline numbers in words: what each is called, how large it can be, and what tells it from one of nearly its name."""

import re
from collections.abc import Iterable

from moe_eval.runs.records import ScoresRecord

__all__ = ["HEADLINES", "explain_headlines", "headline_maximum", "headline_name"]

HEADLINES: dict[tuple[str, str], str] = {
    ("pope", "mean F1 (%)"): (
        "one F1 for each of adversarial, popular and random, and the mean of the three, as LLaVA's papers print: each "
        "category weighs the same"
    ),
    ("pope", "pooled F1 (%)"): (
        "one F1 over the questions of all three categories together, as if they were one: it is not the mean of the three, "
        "for categories differ in size (2,910 random ones, 3,000 of either other kind in the papers' data) and in how many "
        "answers are wrongly yes"
    ),
}
"""By task and name of the headline."""

_MAXIMUM = re.compile(r"\(max ([\d,]+)\)")


def explain_headlines(task: str, names: Iterable[str]) -> list[str]:
    """A line per headline that needs words, where protocols have several; none where all mean the same number."""
    different = list(dict.fromkeys(names))
    return [
        f"{name}: {HEADLINES[task, name]}" for name in different if len(different) > 1 and (task, name) in HEADLINES
    ]


def headline_maximum(scores: ScoresRecord) -> float | None:
    """The best that the headline can be on *these* questions, where it is no percentage; None where that is not known.

    MME's sum grows with its subtasks: 2,000 on all of them, 1,200 on the six that can be drawn.
    """
    named = _MAXIMUM.search(scores.headline.name)
    if named is None:
        return None
    value = scores.headline.value
    share = scores.metrics.get("percent_of_maximum", {}).get("perception")
    if value and share:
        return float(round(100 * value / share))
    return float(named[1].replace(",", ""))


def headline_name(scores: ScoresRecord) -> str:
    """What the headline is called, with the maximum that it has on these questions."""
    maximum = headline_maximum(scores)
    name = scores.headline.name
    return name if maximum is None else _MAXIMUM.sub(f"(max {maximum:.0f})", name)
