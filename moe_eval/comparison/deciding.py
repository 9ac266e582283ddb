"""Whether a run that still goes on is better or worse than a finished one, at a look that is one of several."""

from dataclasses import dataclass

from moe_eval.errors import UserError
from moe_eval.runs.records import ScoresRecord
from moe_eval.runs.stored_run import StoredRun
from moe_eval.statistics.intervals import widened
from moe_eval.statistics.paired import PairedScores, differences
from moe_eval.task import Dataset, TaskProtocol

__all__ = ["Decision", "check_baseline", "decide"]


@dataclass(frozen=True)
class Decision:
    """What a look has shown.

    Args:
        difference: of the headlines, this run minus the baseline.
        low, high: of its interval, as wide as several looks make it; None where the answers do not tell.
    """

    difference: float
    low: float | None
    high: float | None

    @property
    def words(self) -> str | None:
        """`better` or `worse`; None: undecided."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return None
        return "better" if self.low > 0 else "worse"

    def told(self, baseline: StoredRun) -> str:
        """`better than results/runs/m: +3.20 [+1.10, +5.30]`."""
        interval = "" if self.low is None or self.high is None else f" [{self.low:+.2f}, {self.high:+.2f}]"
        than = f"{self.words} than" if self.words else "neither better nor worse for sure than"
        return f"{than} {baseline.folder}: {self.difference:+.2f}{interval}"


def check_baseline(baseline: StoredRun, protocol: str, dataset: Dataset) -> None:
    """Before anything is asked.

    Raises:
        UserError: when the baseline was scored by another protocol, or has no score of a question that may be asked.
    """
    if baseline.run.protocol != protocol:
        raise UserError(f"{baseline.folder}: scored by protocol {baseline.run.protocol}, this run by {protocol}")
    theirs = {str(entry["id"]) for entry in baseline.scores.samples}
    absent = [sample.id for sample in dataset.samples if sample.id not in theirs]
    if absent:
        raise UserError(f"{baseline.folder}: has no answer to {len(absent)} of the questions, such as {absent[0]}")


def decide(baseline: StoredRun, scores: ScoresRecord, protocol: TaskProtocol) -> Decision:
    """How a run's questions so far compare with the same ones of a baseline that `check_baseline` has let pass."""
    theirs = {str(entry["id"]): entry for entry in baseline.scores.samples}
    pair = PairedScores(
        first=[theirs[str(entry["id"])] for entry in scores.samples],
        second=scores.samples,
        groups=[str(entry["group"]) for entry in scores.samples],
        aggregates=(baseline.protocol.aggregate, protocol.aggregate),
    )
    difference = differences(pair)["headline"]
    if difference.low is None or difference.high is None:
        return Decision(difference.value, None, None)
    stretch = scores.data.stopping.stretch if scores.data.stopping else 1.0
    return Decision(difference.value, *widened((difference.low, difference.high), difference.value, stretch))
