"""Answers that one run of a pair got right and the other wrong, with what was asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moe_eval.comparison.drawn import side_by_side
from moe_eval.comparison.pairing import Comparison
from moe_eval.images import ImageFile
from moe_eval.runs.stored_run import StoredRun
from moe_eval.statistics.paired import CLOSE
from moe_eval.task import Sample, SampleScore, worth

__all__ = ["Flip", "flips_of"]


@dataclass(frozen=True)
class Flip:
    """An answer on which the second run did better or worse than the first."""

    id: str
    picture: str
    question: str
    gold: Any
    answers: tuple[str, str]
    worths: tuple[float, float]


def flips_of(comparison: Comparison, most: int) -> tuple[list[Flip], list[Flip], str]:
    """Answers that the second run lost and won, at most so many of each, the largest changes first.

    Returns:
        Lost, won, and why questions are not shown, where the data are not at hand.
    """
    first, second = comparison.first, comparison.second
    samples, why_not = first.known_samples()
    ours, theirs = side_by_side(first, second)
    pairs = [(ours[name], theirs[name]) for name in comparison.ids]
    changes = [((worth(other) or 0.0) - (worth(entry) or 0.0), entry, other) for entry, other in pairs]
    changed = [change for change in changes if abs(change[0]) > CLOSE]
    changed.sort(key=lambda one: -abs(one[0]))  # stable: in the order of the data otherwise
    lost = [one for one in changed if one[0] < 0][:most]
    won = [one for one in changed if one[0] > 0][:most]
    described = [[_flip(first, second, samples, one, other) for _, one, other in some] for some in (lost, won)]
    return described[0], described[1], why_not


def _flip(
    first: StoredRun, second: StoredRun, samples: Mapping[str, Sample], entry: SampleScore, other: SampleScore
) -> Flip:
    name = str(entry["id"])
    sample = samples.get(name)
    pictures = [str(p.path) if isinstance(p, ImageFile) else p.name for p in sample.images] if sample else []
    return Flip(
        id=name,
        picture=", ".join(pictures) or str(entry.get("group", "")),
        question=sample.question if sample else "",
        gold=_gold(sample, entry, other),
        answers=(
            first.answers.get(name, str(entry.get("prediction", ""))),
            second.answers.get(str(other["id"]), str(other.get("prediction", ""))),
        ),
        worths=(worth(entry) or 0.0, worth(other) or 0.0),
    )


def _gold(sample: Sample | None, entry: SampleScore, other: SampleScore) -> Any:
    """Both letters where options stood in another order."""
    if (ours := entry.get("gold", "")) != (theirs := other.get("gold", "")):
        return f"{ours} → {theirs}"
    return sample.gold if sample else ours
