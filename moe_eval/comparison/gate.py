"""The regression gate: is a run worse than a baseline? A verdict per task, with its reason.

With *d* = run − baseline of the headline, in percent of the headline's maximum, and a tolerance *t*:

| verdict | when |
|---|---|
| worse | *d* < −*t*, or *d* < 0 and significant (p < 0.05, corrected by Holm for all tasks of the check) |
| fine | not worse, and the 95 % interval of *d* ends above −*t*: a drop beyond the tolerance is excluded; or no answer flipped |
| cannot tell | neither: too few samples for the tolerance; or the runs cannot be compared, or one is missing |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from moe_eval.comparison.pairing import Comparison, compare_runs, corrected, incompatibilities
from moe_eval.errors import UserError
from moe_eval.runs.stored_run import StoredRun

__all__ = ["LEVEL", "TaskVerdict", "Verdict", "check_runs", "decide", "overall"]

LEVEL = 0.05


class Verdict(IntEnum):
    """Its value is the exit code."""

    FINE = 0
    WORSE = 1
    CANNOT_TELL = 2

    @property
    def words(self) -> str:
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class TaskVerdict:
    """What the gate says of one task.

    Args:
        comparison: baseline (first) and run (second); None where they cannot be compared.
    """

    task: str
    verdict: Verdict
    reason: str
    comparison: Comparison | None = None


def check_runs(
    runs: Mapping[str, StoredRun], baselines: Mapping[str, StoredRun], tolerance: float
) -> list[TaskVerdict]:
    """A verdict on every task of the baseline; what else was run is not looked at.

    Args:
        runs, baselines: by task.
        tolerance: the drop that is accepted, in percent of the headline's maximum: points of a percentage, 20 of MME's
            2,000 for 1.
    """
    comparisons, verdicts = [], []
    for task, baseline in baselines.items():
        if task not in runs:
            verdicts.append(TaskVerdict(task, Verdict.CANNOT_TELL, "the baseline has this task, the run does not"))
        elif reasons := incompatibilities(baseline, runs[task]):
            verdicts.append(TaskVerdict(task, Verdict.CANNOT_TELL, f"cannot be compared: {'; '.join(reasons)}"))
        else:
            try:
                comparisons.append(compare_runs(baseline, runs[task]))
            except UserError as error:
                verdicts.append(TaskVerdict(task, Verdict.CANNOT_TELL, str(error).removeprefix(f"{task}: ")))
    verdicts += [_judge(comparison, tolerance) for comparison in corrected(comparisons)]
    return sorted(verdicts, key=lambda one: one.task)


def overall(verdicts: Sequence[TaskVerdict]) -> Verdict:
    """Worse if any task is, else cannot tell if that is so of any, else fine."""
    found = {one.verdict for one in verdicts}
    return next((v for v in (Verdict.WORSE, Verdict.CANNOT_TELL) if v in found), Verdict.FINE)


def decide(change: float, low: float | None, p_value: float, flipped: bool, tolerance: float) -> Verdict:
    """The verdict by the table above.

    Args:
        change: run − baseline.
        low: the lower end of its interval, if there is one.
        p_value: of there being no difference, corrected.
        flipped: whether any answer is worth something else.
    """
    if not flipped:
        return Verdict.FINE
    if change < -tolerance or (change < 0 and p_value < LEVEL):
        return Verdict.WORSE
    return Verdict.FINE if low is not None and low >= -tolerance else Verdict.CANNOT_TELL


def _judge(comparison: Comparison, tolerance: float) -> TaskVerdict:
    difference, maximum = comparison.difference, comparison.second.protocol.maximum_of(comparison.second.scores.samples)
    scale = maximum / 100
    change, allowed = difference.value / scale, f"tolerance {tolerance:g}"
    unit = "" if scale == 1 else f" % of {maximum:g}"
    low = None if difference.low is None else difference.low / scale
    significant = difference.value < 0 and comparison.adjusted < LEVEL
    flipped = bool(comparison.test.won or comparison.test.lost)
    verdict = decide(change, low, comparison.adjusted, flipped, tolerance)
    if not flipped:
        reason = "every answer is worth what it was"
    elif change < -tolerance:
        luck = "significant" if significant else "may be chance"
        reason = f"{change:+.2f}{unit} is beyond the {allowed} ({luck})"
    elif significant:
        reason = f"{change:+.2f}{unit} is within the {allowed}, but it is significant"
    elif verdict is Verdict.FINE:
        reason = f"a drop beyond the {allowed} is excluded"
    else:
        least = "" if low is None else f": a drop of {-low:.2f}{unit} is not excluded"
        reason = f"too few samples ({len(comparison.ids):,}) for the {allowed}{least}"
    return TaskVerdict(comparison.task, verdict, reason, comparison)
