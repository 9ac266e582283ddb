"""What answers are worth: one of them, and all together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Result", "SampleScore", "worth"]

SampleScore = Mapping[str, float | int | str]
"""What one answer is worth, in plain numbers and strings: all that `aggregate` needs, so that results can be
aggregated again (for intervals, for comparisons) from a stored file alone. `correct` (0 or 1) or `score` (0 to 1) says
how right it was, and neither is there where that is not known; `prediction` is what the answer was understood as."""


def worth(score: SampleScore) -> float | None:
    """How right an answer was, between 0 and 1; None where the reference is hidden or a judge has not spoken yet."""
    value = score.get("correct", score.get("score"))
    return None if value is None else float(value)


@dataclass(frozen=True)
class Result:
    """The scores of a whole data set, in the units that papers print: the one number, and the breakdown behind it.

    `headline` is None where the number is not ours to give: references are hidden, or a judge has to grade first.
    """

    headline: float | None
    metrics: Mapping[str, Any]
