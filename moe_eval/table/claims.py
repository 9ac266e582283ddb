"""Whether a run reproduces what was published about its model: which numbers can be held against it, and the verdict.

Pure: records in, verdicts out. `moe-eval table --layout reproduction` and `moe-eval explain` show them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from moe_eval.registry import task_title
from moe_eval.runs.recorded import RecordedNumber
from moe_eval.runs.records import RunRecord, ScoresRecord
from moe_eval.table.grid import Interval
from moe_eval.table.layouts import MAIN, POPE
from moe_eval.table.measured import HEADLINE, comparability, interval_of, look_up
from moe_eval.table.published import PublishedNumber, contradictions
from moe_eval.table.rows import Column

__all__ = ["DEFINITION", "Claim", "Outcome", "Verdict", "claims_about", "column_of", "judge_claim"]

Outcome = Literal["yes", "no", "cannot tell", "not comparable", "pending", "not run"]

DEFINITION = (
    "Reproduced: the published value lies inside the 95 % interval of the measured one, widened by half a unit of the "
    "last published decimal; same questions, none missing, same protocol and judge. Without an interval only a value "
    "that rounds to the published one counts."
)

OTHERS = {
    column.published: column
    for column in (
        Column("cognition", "MME", ("MME", "test", "cognition_total"), ("mme", ("metrics", "cognition"))),
        Column(
            "all questions", "ScienceQA", ("ScienceQA", "test(all 4241)", "accuracy"), ("scienceqa", ("metrics", "all"))
        ),
        Column(
            "single pass",
            "MMBench",
            ("MMBench", "dev_20230712", "single_pass_accuracy"),
            ("mmbench", ("metrics", "single_pass")),
        ),
        Column("circular", "MMBench", ("MMBench", "dev_20230712", "circular_accuracy"), ("mmbench", HEADLINE)),
    )
}
"""Published numbers that are in no comparison table."""

COLUMNS = {column.published: column for layout in (POPE, MAIN) for column in layout.columns} | OTHERS


@dataclass(frozen=True)
class Claim:
    """A published number that a run of its model can be held against; `also`: further sources that say the same."""

    column: Column
    number: PublishedNumber
    also: tuple[PublishedNumber, ...] = ()

    @property
    def name(self) -> str:
        """Such as `POPE`, `POPE adversarial F1`, `MME cognition`."""
        name, benchmark = self.column.name, self.number.benchmark
        if self.column.measured[1] == HEADLINE and self.column not in OTHERS.values():
            return task_title(self.column.measured[0])
        return name if name.startswith(benchmark) else f"{benchmark} {name}"

    @property
    def sources(self) -> str:
        return "; ".join(dict.fromkeys(number.cited for number in (self.number, *self.also)))


@dataclass(frozen=True)
class Verdict:
    """What a run says about a claim.

    Args:
        value, interval: measured; None where there is none.
        reason: of the outcome, for people.
    """

    outcome: Outcome
    reason: str
    value: float | None = None
    interval: Interval | None = None

    def difference(self, claim: Claim) -> float | None:
        """Measured less published."""
        return None if self.value is None else self.value - claim.number.value


def column_of(number: PublishedNumber) -> Column | None:
    """What of our scores a published number is a number of; None where we have no such number."""
    benchmark, split, _ = number.key
    if benchmark == "MME" and split.startswith("test:"):
        subtask = split.removeprefix("test:")
        return Column(subtask, "MME", number.key, ("mme", ("metrics", "subtasks", subtask, "score")))
    return COLUMNS.get(number.key)


def claims_about(model: str | None, numbers: Sequence[PublishedNumber], task: str | None = None) -> list[Claim]:
    """What was published about a model: one claim per number, and one more where a source says something else;
    headline numbers first.

    Args:
        model: its name in the published numbers.
        numbers: in the order of preference.
        task: only what this task measures.
    """
    of_key: dict[tuple[str, str, str], list[PublishedNumber]] = {}
    for number in numbers:
        if number.model == model:
            of_key.setdefault(number.key, []).append(number)
    claims = []
    for candidates in of_key.values():
        column = column_of(candidates[0])
        if column and task in (None, column.measured[0]):
            by_value: dict[float, list[PublishedNumber]] = {}
            for number in contradictions(candidates):
                by_value.setdefault(number.value, []).append(number)
            claims += [Claim(column, first, tuple(also)) for first, *also in by_value.values()]
    place = {key: index for index, key in enumerate(COLUMNS)}

    def order(claim: Claim) -> tuple[bool, int]:
        return claim.column.measured[1] != HEADLINE, place.get(claim.number.key, len(place))

    return sorted(claims, key=order)


def judge_claim(claim: Claim, run: RunRecord, scores: ScoresRecord, recorded: RecordedNumber | None = None) -> Verdict:
    """Whether a run of the claim's task reproduces it."""
    path = claim.column.measured[1]
    value, interval = look_up(scores, path), interval_of(scores, path)
    if value is None and path == HEADLINE and recorded:
        value = recorded.value
    if value is None:
        return Verdict("pending", "a server or a judge has to give the number first")
    why_not, _ = comparability(run, scores)
    if why_not:
        return Verdict("not comparable", why_not, value, interval)
    published, rounding = claim.number.value, claim.number.rounding + 1e-9
    remarks = [f"the published number is doubted: {claim.number.note}"] if claim.number.doubted else []
    if run.origin:
        remarks.append("answers imported, scored here")
    if abs(value - published) <= rounding:
        outcome, why = "yes", "rounds to the published value"
    elif interval is None:
        outcome, why = "cannot tell", "no interval to hold it against"
    elif interval[0] - rounding <= published <= interval[1] + rounding:
        outcome, why = "yes", "published value inside the interval"
    else:
        side = "below" if published < interval[0] else "above"
        outcome, why = "no", f"published value {side} the interval"
    return Verdict(outcome, "; ".join([why, *remarks]), value, interval)  # type: ignore[arg-type]
