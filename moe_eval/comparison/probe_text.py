"""What a probe found, as Markdown that is readable in a terminal, too."""

from collections.abc import Sequence

from tabulate import tabulate

from moe_eval.comparison.probe import BLINDED, Probe, letter_bias, yes_bias
from moe_eval.comparison.text import number, p_text, signed
from moe_eval.engine.ablation import OTHER_ORDER
from moe_eval.scoring.headlines import headline_name
from moe_eval.statistics.paired import Difference

__all__ = ["as_markdown"]


def as_markdown(probes: Sequence[Probe]) -> str:
    """How much of each score is seeing, the bias of yes/no answers, what the order of options does, the bias of letters."""
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
    orders = [row for probe in probes if (row := _order_row(probe))]
    if orders:
        headers = [
            "task",
            "headline",
            "as asked",
            OTHER_ORDER,
            "difference",
            "95 % interval",
            "p (Holm)",
            "lost",
            "won",
        ]
        lines += ["", "Options in another order", "", _table(headers, orders)]
        lines += ["", "- lost, won: answers that are wrong, and right, only as asked"]
    letters = [row for probe in probes for row in _letter_rows(probe)]
    if letters:
        headers = ["task", "letter", "is right (%)", "is chosen (%)", "accuracy where it is right (%)"]
        headers += ["than elsewhere", "95 % interval"]
        lines += [
            "",
            "Leaning to a letter, of all questions with options (with a picture or without)",
            "",
            _table(headers, letters),
        ]
        lines += [
            "",
            f"- than elsewhere: the same questions with the right option here and elsewhere ({OTHER_ORDER}), paired",
        ]
    return "\n".join(lines) + "\n"


def _row(probe: Probe) -> list[str]:
    value = probe.seen.scores.headline.value
    row = [probe.task, headline_name(probe.seen.scores), "" if value is None else number(value)]
    row += [number(probe.ablated[name].difference.first) if name in probe.ablated else "" for name in BLINDED]
    shuffled = probe.ablated.get("image=shuffled")
    if shuffled is None:
        return [*row, "", "", "", ""]
    seeing = "" if probe.seeing is None else f"{probe.seeing:.0f} %"
    return [*row, *_difference(shuffled.difference), p_text(shuffled.adjusted), seeing]


def _difference(difference: Difference) -> list[str]:
    """With its interval, where there is one."""
    known = difference.low is not None and difference.high is not None
    interval = f"[{signed(difference.low or 0.0)}, {signed(difference.high or 0.0)}]" if known else ""
    return [signed(difference.value), interval]


def _order_row(probe: Probe) -> list[str] | None:
    other = probe.ablated.get(OTHER_ORDER)
    if other is None:
        return None
    values = [number(other.difference.second), number(other.difference.first), *_difference(other.difference)]
    counts = [str(other.test.lost), str(other.test.won)]
    return [probe.task, headline_name(probe.seen.scores), *values, p_text(other.adjusted), *counts]


def _letter_rows(probe: Probe) -> list[list[str]]:
    other = probe.ablated.get(OTHER_ORDER)
    return [
        [
            probe.task,
            one.letter,
            *(f"{value:.1f}" for value in (one.gold, one.chosen, one.accuracy)),
            *(_difference(one.moved) if one.moved else ("", "")),
        ]
        for one in letter_bias(probe.seen.scores.samples, other.first.scores.samples if other else ())
    ]


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
