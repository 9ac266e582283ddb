"""A comparison as Markdown that is readable in a terminal, too, and as plain data."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tabulate import tabulate

from moe_eval.comparison.flips import Flip, flips_of
from moe_eval.comparison.pairing import Comparison
from moe_eval.runs.stored_run import StoredRun
from moe_eval.statistics.paired import MCNEMAR, Difference

__all__ = ["as_data", "as_markdown", "cell", "flip_table", "number", "p_text", "signed"]

LONGEST = 60
"""Characters of a text in a table."""


def as_markdown(comparisons: Sequence[Comparison], alone: Sequence[str], most: int) -> str:
    """A table with a row per task, what to know about it, and the answers that flipped.

    Args:
        alone: tasks that one of the two has alone.
        most: answers to show that were lost, and as many that were won, per task.
    """
    lines = [
        f"A: {_named([one.first for one in comparisons])}",
        f"B: {_named([one.second for one in comparisons])}",
        "",
    ]
    headers = [
        "task",
        "headline",
        "A",
        "B",
        "B − A",
        "95 % interval",
        "p",
        "p (Holm)",
        "won",
        "lost",
        "tied",
        "detectable",
    ]
    rows = [_row(comparison) for comparison in comparisons]
    lines += [tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True), "", *_explanation(comparisons)]
    if alone:
        lines.append(f"- only in one of the two, not compared: {', '.join(alone)}")
    for comparison in comparisons:
        lines += [f"- {comparison.task}: {note}" for note in comparison.notes]
    for comparison in comparisons if most else ():
        lines += _flips(comparison, most)
    return "\n".join(lines) + "\n"


def _named(runs: Sequence[StoredRun]) -> str:
    """Model and folder; of several tasks, those that hold them."""
    models = dict.fromkeys(stored.run.model.name for stored in runs)
    folders = dict.fromkeys(str(stored.folder if len(runs) == 1 else stored.folder.parent) for stored in runs)
    return f"{', '.join(models)} ({', '.join(folders)})"


def _row(comparison: Comparison) -> list[str]:
    difference, test = comparison.difference, comparison.test
    return [
        comparison.task,
        comparison.headline,
        number(difference.first),
        number(difference.second),
        signed(difference.value),
        _interval(difference),
        p_text(test.p_value),
        p_text(comparison.adjusted),
        *(f"{count:,}" for count in (test.won, test.lost, test.tied)),
        number(difference.detectable) if difference.detectable else "",
    ]


def _interval(difference: Difference) -> str:
    if difference.low is None or difference.high is None:
        return ""
    return f"[{signed(difference.low)}, {signed(difference.high)}]"


def _explanation(comparisons: Sequence[Comparison]) -> list[str]:
    lines = ["- interval: bootstrap that draws whole groups of questions (pictures), the same ones for both"]
    for comparison in comparisons:
        test = comparison.test
        line = f"- {comparison.task}: {len(comparison.ids):,} samples in {comparison.groups:,} groups; p: {test.test}"
        if test.mcnemar is not None and test.test != MCNEMAR:
            line += f" (McNemar's exact test, as if all questions were independent: {p_text(test.mcnemar)})"
        elif test.test == MCNEMAR:
            line += f" (permutation: {p_text(test.permutation)})"
        lines.append(line)
    return [
        *lines,
        "- detectable: the difference that this design finds with 80 % power; what was found may be luck below it",
    ]


def _flips(comparison: Comparison, most: int) -> list[str]:
    lost, won, why_not = flips_of(comparison, most)
    lines = []
    for name, flips, total in (("lost", lost, comparison.test.lost), ("won", won, comparison.test.won)):
        if flips:
            lines += [
                "",
                f"## {comparison.task}: {len(flips):,} of {total:,} answers that B {name}",
                "",
                flip_table(flips),
            ]
    if lines and why_not:
        lines += ["", f"Questions are not shown: {why_not}"]
    return lines


def flip_table(flips: Sequence[Flip]) -> str:
    """A row per answer."""
    rows = [
        [cell(value) for value in (flip.id, flip.picture, flip.question, flip.gold)]
        + [f"{cell(answer)} ({worth:.3g})" for answer, worth in zip(flip.answers, flip.worths, strict=True)]
        for flip in flips
    ]
    headers = ["id", "picture", "question", "gold", "A (worth)", "B (worth)"]
    return tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True)


def cell(value: Any, longest: int = LONGEST) -> str:
    """Any text on one line, without what ends a cell of a Markdown table or begins a tag; long ones are cut."""
    text = " ".join(str(value).split())
    text = "".join(character if character.isprintable() else "�" for character in text)
    text = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def number(value: float) -> str:
    return f"{value:.2f}"


def signed(value: float) -> str:
    """With a sign, and none for what prints as zero."""
    text = f"{value:+.2f}"
    return text[1:] if float(text) == 0 else text


def p_text(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def as_data(comparisons: Sequence[Comparison], alone: Sequence[str], most: int) -> dict[str, Any]:
    """All of it as plain data, for JSON."""
    return {"comparisons": [_data(one, most) for one in comparisons], "only_in_one": list(alone)}


def _data(comparison: Comparison, most: int) -> dict[str, Any]:
    lost, won, why_not = flips_of(comparison, most)
    return {
        "task": comparison.task,
        "headline": comparison.headline,
        "first": {"model": comparison.first.run.model.name, "folder": str(comparison.first.folder)},
        "second": {"model": comparison.second.run.model.name, "folder": str(comparison.second.folder)},
        "samples": len(comparison.ids),
        "groups": comparison.groups,
        "difference": asdict(comparison.difference),
        "test": {**asdict(comparison.test), "p_value_holm": comparison.adjusted},
        "notes": list(comparison.notes),
        "breakdown": {path: asdict(one) for path, one in comparison.differences.items() if path != "headline"},
        "flips": {"lost": [asdict(flip) for flip in lost], "won": [asdict(flip) for flip in won]},
        "questions_not_shown": why_not or None,
    }
