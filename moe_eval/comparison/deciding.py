"""Whether a run that still goes on is better or worse than a finished one, at a look that is one of several."""

from moe_eval.errors import UserError
from moe_eval.runs.records import ScoresRecord
from moe_eval.runs.stored_run import StoredRun
from moe_eval.statistics.intervals import widened
from moe_eval.statistics.paired import PairedScores, differences
from moe_eval.task import TaskProtocol

__all__ = ["is_decided"]


def is_decided(baseline: StoredRun, scores: ScoresRecord, protocol: TaskProtocol) -> bool:
    """Whether the interval of the difference, as wide as several looks make it, leaves out zero.

    Raises:
        UserError: when the baseline was scored by another protocol, or has no answer to a question that was asked.
    """
    if baseline.run.protocol != scores.protocol:
        raise UserError(f"{baseline.folder}: scored by protocol {baseline.run.protocol}, this run by {scores.protocol}")
    theirs = {str(entry["id"]): entry for entry in baseline.scores.samples}
    absent = [str(entry["id"]) for entry in scores.samples if str(entry["id"]) not in theirs]
    if absent:
        raise UserError(f"{baseline.folder}: has no answer to {len(absent)} of the questions, such as {absent[0]}")
    pair = PairedScores(
        first=[theirs[str(entry["id"])] for entry in scores.samples],
        second=scores.samples,
        groups=[str(entry["group"]) for entry in scores.samples],
        aggregates=(baseline.protocol.aggregate, protocol.aggregate),
    )
    difference = differences(pair)["headline"]
    if difference.low is None or difference.high is None:
        return False
    stretch = scores.data.stopping.stretch if scores.data.stopping else 1.0
    low, high = widened((difference.low, difference.high), difference.value, stretch)
    return low > 0 or high < 0
