"""An interval as results carry it, and how it was made. Imports no numpy, for tables and reports only read them."""

from typing import Literal

from pydantic import Field

from moe_eval.files.record import Record

__all__ = ["IntervalMethodRecord", "IntervalRecord"]


class IntervalRecord(Record):
    """How far a number would move with other pictures of the same kind; in the number's own units."""

    low: float = Field(description="of the 95 % interval")
    high: float
    kind: Literal["score", "bootstrap"] = Field(
        default="bootstrap",
        description="score: Wilson's interval of a number between 0 and its maximum; bootstrap: percentiles of the draws",
    )
    groups: int | None = Field(default=None, description="that the number looks at")
    degrees_of_freedom: float | None = Field(default=None, description="of the standard error, at most groups − 1")
    design_effect: float | None = Field(
        default=None,
        description="squared error over that of as many independent answers that are right or wrong; null where the error "
        "is 0, or the number is no share",
    )
    standard_error: float = Field(description="of the bootstrap")
    analytic_standard_error: float | None = Field(description="clustered, by linearisation; null where there is none")
    minimum_detectable_difference: float | None = Field(
        description="that two models must differ by to be told apart with 80 % power at a two-sided 5 %, if each has "
        "pictures of its own (unpaired); `moe-eval compare` pairs runs and sees less"
    )


class IntervalMethodRecord(Record):
    """How all intervals of a record were made."""

    method: Literal["clustered bootstrap", "clustered bootstrap of a plain function", "clustered bootstrap of the mean"]
    confidence: float = Field(default=0.95, description="of all intervals")
    resamples: int
    seed: int
    clusters: int = Field(description="groups of questions that are drawn as a whole, mostly pictures")
