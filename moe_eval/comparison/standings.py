"""Several runs on the same questions: which is best, and which of the others cannot be told apart from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from moe_eval.comparison.pairing import incompatibilities, pair_scores
from moe_eval.errors import UserError
from moe_eval.runs.stored_run import StoredRun
from moe_eval.statistics.paired import paired_test
from moe_eval.statistics.significance import holm

__all__ = ["ALPHA", "Standing", "standings"]

ALPHA = 0.05

Verdict = Literal["best", "level", "worse", ""]


@dataclass(frozen=True)
class Standing:
    """One run among those that were asked the same.

    Args:
        verdict: `best`; `level`: it may be as good; `worse`: significantly so; "" where nothing was compared.
        p_value: of the paired test against the best, after Holm's correction; None for the best, and without a test.
        why_not: why it was not compared.
    """

    verdict: Verdict = ""
    p_value: float | None = None
    why_not: str = ""


def standings(sets: Sequence[Sequence[StoredRun]]) -> list[list[Standing]]:
    """How runs stand against the best of their set, with one correction for all comparisons together.

    Args:
        sets: runs of one task on the same questions each. Where the best value stands twice, the first is the best.
    """
    found: list[list[Standing]] = []
    tested: list[tuple[int, int, float]] = []
    for number, runs in enumerate(sets):
        values = [stored.scores.headline.value for stored in runs]
        known = [value for value in values if value is not None]
        found.append([Standing() for _ in runs])
        if len(known) < 2:
            continue
        best = values.index(max(known))
        for index, stored in enumerate(runs):
            if index != best and values[index] is not None:
                p_value, why_not = _test(stored, runs[best])
                found[number][index] = Standing(why_not=why_not)
                if p_value is not None:
                    tested.append((number, index, p_value))
        if any(of_set == number for of_set, _, _ in tested):
            found[number][best] = Standing("best")
    for (number, index, _), p_value in zip(tested, holm([p for _, _, p in tested]), strict=True):
        found[number][index] = Standing("worse" if p_value < ALPHA else "level", p_value)
    return found


def _test(stored: StoredRun, best: StoredRun) -> tuple[float | None, str]:
    """The p-value, or why there is none."""
    differences = incompatibilities(best, stored)
    if differences:
        return None, "; ".join(differences)
    try:
        return paired_test(pair_scores(stored, best)).p_value, ""
    except (UserError, ValueError) as error:
        return None, str(error)
