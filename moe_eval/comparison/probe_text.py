"""What a probe found, as Markdown that is readable in a terminal, too."""

from collections.abc import Sequence

from tabulate import tabulate

from moe_eval.comparison.probe import BLINDED, Probe, letter_bias, yes_bias
from moe_eval.comparison.text import number, p_text, signed

__all__ = ["as_markdown"]


def as_markdown(probes: Sequence[Probe]) -> str:
    """How much of each score is seeing, then the biases of yes/no and of lettered answers."""
    model = probes[0].seen.run.model.name
    lines = [
        f"How much of the score of {model} is seeing",
        "",
        _table(
            ["task", "headline", "seen", *BLINDED, "seen − shuffled", "95 % interval", "p (Holm)", "is seeing"],
            [_row(probe) for probe in probes],
        ),
        "",
        "- is seeing: the share of the score that is lost when each question comes with another question's picture",
        "- interval: of the difference, paired by question, from a bootstrap of whole groups; p: over all tasks and ablations",
    ]
    yes = [row for probe in probes if (row := _yes_row(probe))]
    if yes:
        lines += [
            "",
            "Leaning to yes",
            "",
            _table(["task", "d′", "95 % interval", "criterion", "95 % interval", "yes (%)"], yes),
            "",
            "- d′: how well yes and no are told apart, 0 is chance; criterion: below 0 for a leaning to yes",
        ]
    letters = [
        [probe.task, one.letter, *(f"{value:.1f}" for value in (one.gold, one.chosen, one.accuracy))]
        for probe in probes
        for one in letter_bias(probe.seen.scores.samples)
    ]
    if letters:
        headers = ["task", "letter", "is right (%)", "is chosen (%)", "accuracy where it is right (%)"]
        lines += ["", "Leaning to a letter", "", _table(headers, letters)]
    return "\n".join(lines) + "\n"


def _row(probe: Probe) -> list[str]:
    value = probe.seen.scores.headline.value
    row = [probe.task, probe.seen.scores.headline.name, "" if value is None else number(value)]
    row += [number(probe.blinded[name].difference.first) if name in probe.blinded else "" for name in BLINDED]
    shuffled = probe.blinded.get("image=shuffled")
    if shuffled is None:
        return [*row, "", "", "", ""]
    difference = shuffled.difference
    known = difference.low is not None and difference.high is not None
    interval = f"[{signed(difference.low or 0.0)}, {signed(difference.high or 0.0)}]" if known else ""
    seeing = "" if probe.seeing is None else f"{probe.seeing:.0f} %"
    return [*row, signed(difference.value), interval, p_text(shuffled.adjusted), seeing]


def _yes_row(probe: Probe) -> list[str] | None:
    bias = yes_bias(probe.seen.scores.samples)
    if bias is None:
        return None
    row = [probe.task]
    for path, value in (("headline", bias.sensitivity), ("criterion", bias.criterion)):
        interval = bias.intervals.get(path)
        row += [f"{value:.2f}", f"[{interval.low:.2f}, {interval.high:.2f}]" if interval else ""]
    return [*row, f"{bias.yes_ratio:.1f}"]


def _table(headers: list[str], rows: list[list[str]]) -> str:
    return tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True)
