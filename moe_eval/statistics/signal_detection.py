"""Yes/no answers as signal detection: how well yes and no are told apart (d′), and the leaning to one of them (criterion)."""

from collections.abc import Sequence

from scipy.special import ndtri

from moe_eval.metrics.totals import Scores, of_totals
from moe_eval.task import Result, SampleScore

__all__ = ["signal_detection", "yes_no_scores"]


@of_totals
def signal_detection(scores: Scores[SampleScore]) -> Result:
    """Headline: d′ = z(hits) − z(false alarms); the criterion −(z(hits) + z(false alarms)) / 2 is below 0 for who likes to say yes.

    Hits are the share of yes among questions to be answered yes, false alarms that among the others. Half an answer of
    each kind is added to both (log-linear), so that both are defined for shares of 0 and 1.
    Source: Hautus, Corrections for extreme proportions and their biasing effects on estimated values of d′, Behavior Research
    Methods 1995; Macmillan and Creelman, Detection theory, 2005.

    Args:
        scores: with `gold` and `prediction`, `yes` or `no`; at least one question of each kind.
    """
    asked = scores.by(lambda score: score["gold"])
    hits, false_alarms = ((asked[gold].total(_says_yes) + 0.5) / (asked[gold].how_many() + 1) for gold in ("yes", "no"))
    sensitivity, criterion = ndtri(hits) - ndtri(false_alarms), -(ndtri(hits) + ndtri(false_alarms)) / 2
    return Result(sensitivity, {"criterion": criterion, "yes_ratio": 100 * scores.total(_says_yes) / scores.how_many()})


def _says_yes(score: SampleScore) -> int:
    return int(score["prediction"] == "yes")


def yes_no_scores(scores: Sequence[SampleScore]) -> list[SampleScore]:
    """The scores whose gold is yes or no, in small letters; nothing unless there are both."""
    found: list[SampleScore] = [
        {**score, "gold": str(score["gold"]).lower(), "prediction": str(score.get("prediction", "")).lower()}
        for score in scores
        if str(score.get("gold", "")).lower() in ("yes", "no")
    ]
    return found if len({score["gold"] for score in found}) == 2 else []
