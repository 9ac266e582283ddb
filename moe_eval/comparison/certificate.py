"""Whether engines answer alike: the answers that differ, beside those that differ between two batch sizes of one engine.

In floating point, sums in another order give other last digits, and where two tokens are nearly as likely one digit
decides. That is why `generate` itself does not always answer alike when it is given more prompts at a time: this is the noise
that an engine is held against.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from moe_eval.comparison.pairing import pair_scores
from moe_eval.errors import UserError
from moe_eval.runs.stored_run import StoredRun
from moe_eval.scoring.headlines import headline_name
from moe_eval.statistics.paired import Difference, differences
from moe_eval.statistics.significance import mcnemar_exact
from moe_eval.task import worth

__all__ = ["Certificate", "Verdict", "certify_runs"]

Verdict = Literal["equal", "within noise", "different"]
LEVEL = 0.05


@dataclass(frozen=True)
class Certificate:
    """One engine on one task, held against another.

    Args:
        engines: the one that others are held against, and this one.
        runs: of both.
        questions: that both were asked.
        differ: ids of those that they answer differently.
        control: ids of those that the two batch sizes answer differently.
        p_value: of the numbers of both being equal, by McNemar's exact test over the questions that are in one of them only.
        difference: of the headline, this engine minus the other; None where answers have no score here.
    """

    task: str
    headline: str
    engines: tuple[str, str]
    runs: tuple[StoredRun, StoredRun]
    questions: int
    differ: tuple[str, ...]
    control: tuple[str, ...]
    p_value: float
    difference: Difference | None

    @property
    def verdict(self) -> Verdict:
        """Equal: no answer differs. Different: significantly more answers differ than in the control, or the interval of the
        score's difference is on one side of 0. Within noise: neither."""
        if not self.differ:
            return "equal"
        if len(self.differ) > len(self.control) and self.p_value < LEVEL:
            return "different"
        low, high = (self.difference.low, self.difference.high) if self.difference else (None, None)
        return "different" if low is not None and high is not None and (low > 0 or high < 0) else "within noise"


def certify_runs(
    runs: Mapping[str, StoredRun], control: tuple[StoredRun, StoredRun], reference: str
) -> list[Certificate]:
    """Every engine but `reference` held against it, on one task.

    Args:
        runs: of the same questions, by engine.
        control: two runs of one engine with different batch sizes.

    Raises:
        UserError: for runs that were asked different questions.
    """
    first = runs[reference]
    for stored in (*runs.values(), *control):
        if stored.run.data.fingerprint != first.run.data.fingerprint or stored.run.prompt != first.run.prompt:
            raise UserError(
                f"{first.folder} and {stored.folder}: were asked different questions; start over with --fresh"
            )
    noisy = _differ(*control)
    return [_certificate(first, stored, (reference, name), noisy) for name, stored in runs.items() if name != reference]


def _certificate(first: StoredRun, second: StoredRun, engines: tuple[str, str], control: list[str]) -> Certificate:
    differ = _differ(first, second)
    common = set(differ) & set(control)
    return Certificate(
        task=first.run.task,
        headline=headline_name(first.scores),
        engines=engines,
        runs=(first, second),
        questions=len(first.answers),
        differ=tuple(differ),
        control=tuple(control),
        p_value=mcnemar_exact(len(differ) - len(common), len(control) - len(common)),
        difference=_score_difference(first, second),
    )


def _differ(first: StoredRun, second: StoredRun) -> list[str]:
    """Questions whose answers are not the same text, in the order of the first run; one that has none differs, too."""
    answers, others = first.answers, second.answers
    return [name for name in dict.fromkeys([*answers, *others]) if answers.get(name) != others.get(name)]


def _score_difference(first: StoredRun, second: StoredRun) -> Difference | None:
    scored = all(worth(entry) is not None for stored in (first, second) for entry in stored.scores.samples)
    return differences(pair_scores(first, second)).get("headline") if scored else None
