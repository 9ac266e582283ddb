"""Runs with several drawn answers to each question beside runs with fewer, or with greedy ones."""

from collections.abc import Mapping
from math import lcm

from moe_eval.runs.stored_run import StoredRun
from moe_eval.task import SampleScore

__all__ = ["answers_differ", "missing_questions", "side_by_side"]


def side_by_side(first: StoredRun, second: StoredRun) -> tuple[Mapping[str, SampleScore], Mapping[str, SampleScore]]:
    """The scores of two runs by ids that both share.

    Numbers of drawn answers are means over the first answers to all questions, over the second, and so on
    (`moe_eval.metrics.totals.of_totals`), so a run keeps its numbers if all its answers are repeated as often. Where one run has
    more answers to a question than the other, answers are repeated until both have as many.
    """
    counts = [_answers(stored) for stored in (first, second)]
    if counts[0] == counts[1]:
        return _by_id(first), _by_id(second)
    wanted = lcm(*(count or 1 for count in counts))
    return _repeated(first, wanted), _repeated(second, wanted)


def answers_differ(first: StoredRun, second: StoredRun) -> list[str]:
    """That the runs did not answer each question equally often, in words."""
    ours, theirs = (stored.run.generation.drawn if stored.run.generation else None for stored in (first, second))
    if _answers(first) == _answers(second):
        return []
    return [f"{ours or 'greedy answers'} → {theirs or 'greedy answers'}, by the mean over the answers to each question"]


def missing_questions(stored: StoredRun) -> set[str]:
    """Ids of questions with an answer missing."""
    drawn = _answers(stored)
    return {name.rpartition("#")[0] if drawn else name for name in stored.scores.missing}


def _answers(stored: StoredRun) -> int | None:
    return stored.run.generation.samples if stored.run.generation else None


def _by_id(stored: StoredRun) -> dict[str, SampleScore]:
    return {str(entry["id"]): entry for entry in stored.scores.samples}


def _repeated(stored: StoredRun, wanted: int) -> dict[str, SampleScore]:
    """By the id and number that each answer would have among so many; `id` of an entry stays that of the answer."""
    count = _answers(stored)
    found: dict[str, SampleScore] = {}
    for entry in stored.scores.samples:
        question = str(entry["id"]).rpartition("#")[0] if count else str(entry["id"])
        for number in range(int(entry.get("sample", 1)), wanted + 1, count or 1):
            found[f"{question}#{number}"] = {**entry, "sample": number}
    return found
