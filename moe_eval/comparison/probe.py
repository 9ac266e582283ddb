"""How much of a score is seeing: a run beside the same questions without, with a grey, and with another's picture; what it owes to
the order of options; biases of answers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from moe_eval.comparison.pairing import Comparison, compare_runs, corrected
from moe_eval.engine.ablation import OTHER_ORDER
from moe_eval.metrics.means import percent
from moe_eval.metrics.totals import Scores, of_totals
from moe_eval.runs.stored_run import StoredRun
from moe_eval.statistics.interval import IntervalRecord
from moe_eval.statistics.intervals import intervals_of
from moe_eval.statistics.paired import Difference, PairedScores, differences
from moe_eval.statistics.signal_detection import signal_detection, yes_no_scores
from moe_eval.task import Result, SampleScore, worth

__all__ = ["BLINDED", "PROBES", "LetterBias", "Probe", "YesBias", "letter_bias", "probe_tasks", "yes_bias"]

BLINDED = ("image=none", "image=grey", "image=shuffled")
"""Ablations that take the picture away, as `--ablate` has them."""

PROBES = (*BLINDED, OTHER_ORDER)
"""All that a model is asked beside the questions as they are."""


@dataclass(frozen=True)
class Probe:
    """One task.

    Args:
        seen: the run itself.
        ablated: by ablation, the seeing run (second) against the ablated one (first); p-values corrected over all tasks.
    """

    task: str
    seen: StoredRun
    ablated: Mapping[str, Comparison]

    @property
    def seeing(self) -> float | None:
        """The share of the score that is lost with another's picture, in percent; None of a score of 0."""
        value, shuffled = self.seen.scores.headline.value, self.ablated.get("image=shuffled")
        return 100 * shuffled.difference.value / value if shuffled and value else None


@dataclass(frozen=True)
class YesBias:
    """d′ and criterion of yes/no questions, with their 95 % intervals."""

    sensitivity: float
    criterion: float
    yes_ratio: float
    intervals: Mapping[str, IntervalRecord]


@dataclass(frozen=True)
class LetterBias:
    """An option's letter.

    Args:
        gold, chosen: how often it is right and how often it is chosen, in percent of the questions.
        accuracy: where it is right, in percent.
        moved: the accuracy of questions when their right option stands here (second) and when the same option stands elsewhere
            (first); None where no question was asked in both ways.
    """

    letter: str
    gold: float
    chosen: float
    accuracy: float
    moved: Difference | None = None


def probe_tasks(seen: Mapping[str, StoredRun], ablated: Mapping[str, Mapping[str, StoredRun]]) -> list[Probe]:
    """Every task beside its ablated runs.

    Args:
        ablated: by ablation and task.

    Raises:
        UserError: for runs that cannot be compared, and scores that are not known yet.
    """
    keys = [(name, task) for task in seen for name, runs in ablated.items() if task in runs]
    compared = corrected([compare_runs(ablated[name][task], seen[task]) for name, task in keys])
    found = dict(zip(keys, compared, strict=True))
    return [
        Probe(task, run, {name: found[name, task] for name in ablated if (name, task) in found})
        for task, run in seen.items()
    ]


def yes_bias(scores: Sequence[SampleScore]) -> YesBias | None:
    """Of questions to be answered yes or no; None where there are not both."""
    asked = yes_no_scores(scores)
    if not asked:
        return None
    result = signal_detection(asked)
    intervals, _ = intervals_of(asked, signal_detection, lambda path: 100.0 if path == "yes_ratio" else inf)
    assert result.headline is not None
    return YesBias(float(result.headline), float(result.metrics["criterion"]), result.metrics["yes_ratio"], intervals)


def letter_bias(scores: Sequence[SampleScore], reordered: Sequence[SampleScore] = ()) -> list[LetterBias]:
    """Of questions with lettered options; empty where there are none. In MMBench rotations put the right option everywhere.

    Args:
        reordered: of the same questions with their options in another order.
    """
    asked = [score for score in scores if len(str(score.get("gold", ""))) == 1 and str(score["gold"]).isupper()]
    gold = Counter(str(score["gold"]) for score in asked)
    chosen = Counter(str(score.get("prediction", "")) for score in asked)
    right = Counter(str(score["gold"]) for score in asked if score.get("correct"))
    return [
        LetterBias(
            letter,
            100 * gold[letter] / len(asked),
            100 * chosen[letter] / len(asked),
            100 * right[letter] / gold[letter],
            _moved(letter, asked, reordered),
        )
        for letter in sorted(gold)
    ]


def _moved(letter: str, scores: Sequence[SampleScore], reordered: Sequence[SampleScore]) -> Difference | None:
    others = {str(score["id"]): score for score in reordered}
    here, elsewhere = [], []
    for score in scores:
        other = others.get(str(score.get("id")))
        if other and score["gold"] != other["gold"] and letter in (score["gold"], other["gold"]):
            here.append(score if score["gold"] == letter else other)
            elsewhere.append(other if score["gold"] == letter else score)
    if not here:
        return None
    groups = [str(score["group"]) for score in here]
    return differences(PairedScores(elsewhere, here, groups, (_accuracy, _accuracy)))["headline"]


@of_totals
def _accuracy(scores: Scores[SampleScore]) -> Result:
    return Result(percent(scores, lambda score: worth(score) or 0.0), {})
