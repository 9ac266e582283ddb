"""How MM-Vet is asked, and what its grades come to."""

import math
from functools import partial
from statistics import fmean
from typing import Any

from moe_eval.metrics.means import percent
from moe_eval.metrics.totals import Scores, of_totals
from moe_eval.mini.grader import grade_by_parts
from moe_eval.task import (
    Result,
    Sample,
    SampleScore,
)

__all__ = ["CAPABILITIES", "aggregate", "prompt", "prompt_lmms_eval", "score"]


CAPABILITIES = ("rec", "ocr", "know", "gen", "spat", "math")

STEP_BY_STEP = (
    "First please perform reasoning, and think step by step to provide best answer to the following question: "
)


def prompt(sample: Sample) -> str:
    """The question, nothing else."""
    return sample.question


def prompt_lmms_eval(sample: Sample) -> str:
    return f"{STEP_BY_STEP}\n\n{sample.question}"


def score(sample: Sample, response: str) -> SampleScore:
    """Capabilities and grades; the grades are the judge's, so without them there is no score. NaN is no grade.

    Generated samples alone, whose references list everything that is wanted, get a grade by rule if no judge has given
    one, and `grader` then says so.
    """
    capabilities = {"capabilities": ",".join(sample.meta["capabilities"])} if sample.meta.get("capabilities") else {}
    grades = sample.meta.get("grades") or ()
    if not grades and "grader" in sample.meta:
        value = grade_by_parts(sample.question, sample.gold, response)
        return {**capabilities, "grader": sample.meta["grader"], "grade_1": value, "score": value}
    if not grades or any(math.isnan(value) for value in grades):
        return capabilities
    runs = {f"grade_{number}": float(value) for number, value in enumerate(grades, start=1)}
    return {**capabilities, **runs, "score": fmean(grades)}


@of_totals
def aggregate(scores: Scores[SampleScore]) -> Result:
    """Headline: the mean grade in percent, mean over the judge's runs; there is none before every answer is graded.

    Beside it the total of each run and their (population) standard deviation, and the mean of the samples that need a
    capability, and of those that need exactly a combination of them.
    """
    graded = scores.where(lambda score: "score" in score)
    runs = min((sum(name.startswith("grade_") for name in score) for score in graded), default=0)
    if len(graded) < len(scores) or not scores:
        return Result(None, {"graded": f"{len(graded)} of {len(scores)} answers; `moe-eval judge` grades the others"})
    totals = {str(run): percent(scores, f"grade_{run}") for run in range(1, runs + 1)}
    total = sum(totals.values()) / runs
    variance = sum((value - total) ** 2 for value in totals.values()) / runs
    described = scores.where(lambda score: "capabilities" in score)
    of_capability = {name: described.where(partial(_needs, name)) for name in CAPABILITIES}
    of_combination = described.by(lambda score: "_".join(sorted(_capabilities(score))))
    graders = sorted({str(score["grader"]) for score in scores if "grader" in score})
    metrics: dict[str, Any] = {"grader": ", ".join(graders)} if graders else {}
    metrics |= {"total": total, "std": variance**0.5, "runs": totals}
    for name, kinds in (("capabilities", of_capability), ("combinations", dict(sorted(of_combination.items())))):
        table = {
            kind: {"grade": percent(members, "score"), "samples": len(members)}
            for kind, members in kinds.items()
            if members
        }
        if table:
            metrics[name] = table
    return Result(total, metrics)


def _needs(capability: str, score: SampleScore) -> bool:
    return capability in _capabilities(score)


def _capabilities(score: SampleScore) -> list[str]:
    return str(score["capabilities"]).split(",")
