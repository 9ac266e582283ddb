"""Scores as text for a terminal: the headline, then every part of the breakdown as a small table."""

from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from moe_eval.runs.records import IntervalRecord, ScoresRecord
from moe_eval.scoring.headlines import headline_name

__all__ = ["headline_line", "headline_text", "interval_text", "summarise"]


def summarise(scores: ScoresRecord) -> str:
    """Headline, data and breakdown of one scored task."""
    asked = scores.data.samples
    lines = [
        f"{scores.task}: {headline_name(scores)} {headline_text(scores)}{interval_text(scores.intervals.get('headline'))}",
        f"{asked - len(scores.missing):,} of {asked:,} questions, protocol {scores.protocol}",
        f"data: {scores.data.version}",
    ]
    lines += _certainty(scores)
    if scores.judge:
        lines.append(f"graded by {scores.judge}")
    if scores.data.stopping:
        stopping = scores.data.stopping
        lines.append(
            f"asked {'all' if asked == stopping.of else f'{asked:,} of'} {stopping.of:,} questions, pictures in random order ({stopping.rule}, seed {stopping.seed}); "
            f"intervals are {stopping.stretch:.2f} times as wide because the scores were looked at"
        )
    if not scores.data.official:
        lines.append("not the data that published numbers are about")
    if scores.missing:
        lines.append(f"{len(scores.missing):,} questions without an answer are left out, such as {scores.missing[0]}")
    if scores.empty:
        lines.append(f"{scores.empty:,} answers are empty; they are scored like others")
    blocks = [_breakdown(name, value) for name, value in scores.metrics.items()]
    return "\n\n".join(["\n".join(lines), *blocks])


def headline_line(scores: ScoresRecord) -> str:
    """`pope: mean F1 (%) 86.02 [84.6, 87.2], 8,910 questions`, and what else decides whether it can be compared."""
    asked = scores.data.samples
    stopping = scores.data.stopping
    until = ""
    if stopping:
        until = f" ({'all there are' if asked == stopping.of else f'stopped of {stopping.of:,}'}, {stopping.rule})"
    count = f"{asked:,}" if not scores.missing else f"{asked - len(scores.missing):,} of {asked:,}"
    interval = interval_text(scores.intervals.get("headline"))
    remark = "" if scores.data.official else f" of {scores.data.source}"
    empty = f", {scores.empty:,} answers empty" if scores.empty else ""
    return f"{scores.task}: {headline_name(scores)} {headline_text(scores)}{interval}, {count} questions{remark}{until}{empty}"


def headline_text(scores: ScoresRecord) -> str:
    """The headline number with two decimals, or `pending`."""
    return "pending" if scores.headline.value is None else f"{scores.headline.value:.2f}"


def interval_text(interval: IntervalRecord | None) -> str:
    """` [84.6, 87.2]`, or nothing where there is none."""
    return f" [{interval.low:.1f}, {interval.high:.1f}]" if interval else ""


def _certainty(scores: ScoresRecord) -> list[str]:
    """Where the interval comes from, and how far another model must be away."""
    interval, method = scores.intervals.get("headline"), scores.interval_method
    if interval is None or method is None:
        return []
    effect = "" if interval.design_effect is None else f" (design effect {interval.design_effect:.1f})"
    line = f"[95 % interval] from {interval.groups or method.clusters:,} groups of questions{effect}"
    if interval.minimum_detectable_difference is None:
        return [line]
    return [
        f"{line}; a model that is better or worse by {interval.minimum_detectable_difference:.1f} is told apart 4 times "
        "out of 5, by less with `moe-eval compare`"
    ]


def _breakdown(name: str, value: Any) -> str:
    if not isinstance(value, Mapping):
        return f"{name}: {_number(value)}"
    nested = [entry for entry in value.values() if isinstance(entry, Mapping)]
    if not nested:
        return tabulate([(key, _number(entry)) for key, entry in value.items()], headers=[name, ""])
    columns = list(nested[0])
    rows = [[key, *(_number(entry[column]) for column in columns)] for key, entry in value.items()]
    headers = [name, *(column.replace("_", " ") for column in columns)]
    return tabulate(rows, headers=headers, disable_numparse=True, colalign=["left", *["right"] * len(columns)])


def _number(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
