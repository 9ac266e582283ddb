"""Headline numbers in words, where protocols of one task call different numbers by nearly the same name."""

from collections.abc import Mapping

from moe_eval.runs.records import ScoresRecord

__all__ = ["HEADLINES", "explain_headlines"]

HEADLINES: dict[tuple[str, str], str] = {
    ("pope", "mean F1 (%)"): (
        "one F1 for each of adversarial, popular and random, and the mean of the three, as LLaVA's papers print: each "
        "category weighs the same"
    ),
    ("pope", "pooled F1 (%)"): (
        "one F1 over the questions of all three categories together: it is not the mean of the three, for the categories "
        "differ in size (random has 2,910 questions, the others 3,000) and in how many answers are wrongly yes"
    ),
}
"""By task and name of the headline."""


def explain_headlines(task: str, scores: Mapping[str, ScoresRecord]) -> list[str]:
    """A line per headline that needs words, where the protocols have several; none where all mean the same number."""
    names = dict.fromkeys(record.headline.name for record in scores.values())
    return [f"{name}: {HEADLINES[task, name]}" for name in names if len(names) > 1 and (task, name) in HEADLINES]
