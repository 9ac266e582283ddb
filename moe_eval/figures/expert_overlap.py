"""What the paper's figures of experts lack: do picture and text tokens share experts, is the load even, is any expert dead?

Overlap is the sum over experts of the smaller of the two shares, of the picture tokens' choices and of the text tokens':
1 where both are spread alike, 0 where they share no expert. Balance is the entropy of the shares, divided by that of an
even load. All choices count, first and later ones alike, also those that then found no place: they are what routers want.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from moe_eval.figures.drawing import Drawing, Sources, file_name
from moe_eval.figures.question_loads import QuestionLoads, read_question_loads
from moe_eval.figures.routed import layer_axis, run_name, run_title
from moe_eval.figures.style import BLUE, GREY, ORANGE, PAGE, SKY, VERMILLION, new_figure
from moe_eval.runs.routing import RoutingRecord, read_routing
from moe_eval.statistics.few_groups import few_groups_factor
from moe_eval.statistics.intervals import percentile_interval, widened
from moe_eval.statistics.resampling import draw_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["OverlapRow", "balance", "dead_experts", "draw", "drawings", "overlap", "overlap_interval", "rows"]

Choices = NDArray[np.int64] | NDArray[np.float64]

RESAMPLES, SEED = 2_000, 0

DEAD = 0.1
"""An expert is dead that gets less than this part of an even share, of the picture tokens' choices and of the text tokens'.

Both, because an expert for text alone gets little of all choices where there are ten times as many picture tokens.
"""


@dataclass(frozen=True)
class OverlapRow:
    """One layer, numbered as stored.

    Args:
        overlap: of the experts of picture and text tokens, from 0 to 1.
        low, high: of its 95 % interval, by whole groups of questions; None where there is none: of fewer than two groups,
            without `routing.jsonl` or scores, or where drawing groups shifts the overlap so far that the interval misses it.
        groups: of questions that the interval rests on.
        balance, image_balance, text_balance: of all tokens, picture tokens and text tokens, from 0 to 1.
        dead: the dead experts, from 0, with spaces between them.
    """

    model: str
    task: str
    layer: int
    experts: int
    overlap: float
    low: float | None
    high: float | None
    groups: int | None
    balance: float
    image_balance: float
    text_balance: float
    dead: str


def drawings(sources: Sources) -> Iterable[Drawing]:
    for folder in sources.runs:
        record = read_routing(folder)
        if record and all(record.tokens(modality) for modality in record.counts):  # two modalities to compare
            name, title = file_name("expert-overlap", run_name(record)), f"Overlap and balance: {run_title(record)}"
            yield Drawing(name, title, rows(record, read_question_loads(folder)), draw)


def rows(record: RoutingRecord, questions: QuestionLoads | None) -> list[OverlapRow]:
    """Every layer; the interval is of the questions, everything else of the record."""
    found = []
    for index, layer in enumerate(record.layers):
        image, text = (np.array(record.counts[modality][index]).sum(0) for modality in ("image", "text"))
        value = float(overlap(image, text))
        interval = _interval(value, questions, index) if questions else None
        low, high = interval or (None, None)
        found.append(
            OverlapRow(
                record.model,
                record.task,
                layer,
                len(image),
                value,
                low,
                high,
                int(questions.groups.max()) + 1 if questions and interval else None,
                balance(image + text),
                balance(image),
                balance(text),
                " ".join(str(expert) for expert in dead_experts(image, text)),
            )
        )
    return found


def overlap(image: Choices, text: Choices) -> NDArray[np.float64]:
    """The sum of the smaller shares, [...], of choices [..., E]; not a number where one of the two chose nothing."""
    shares = [choices / choices.sum(-1, keepdims=True) for choices in (image, text)]
    return np.asarray(np.minimum(*shares).sum(-1))


def balance(choices: Choices) -> float:
    """The entropy of choices [E] over log E: 1 is an even load, 0 a single expert (with k choices, k experts: log k / log E)."""
    if len(choices) == 1:
        return 1.0
    shares = choices[choices > 0] / choices.sum()
    return float(max(0.0, -(shares * np.log(shares)).sum() / np.log(len(choices))))


def dead_experts(image: Choices, text: Choices) -> list[int]:
    """Numbers, from 0, of the experts that get less than `DEAD` / E of the choices [E] of either modality."""
    few = [choices / choices.sum() < DEAD / len(choices) for choices in (image, text)]
    return np.flatnonzero(few[0] & few[1]).tolist()


def overlap_interval(
    image: NDArray[np.float64], text: NDArray[np.float64], groups: NDArray[np.intp], value: float
) -> tuple[float, float] | None:
    """The 95 % interval of an overlap: percentiles of a bootstrap of groups, wider as few of them make it.

    Args:
        image, text: [Q, E] choices.
        groups: [Q] numbers from 0.
        value: the overlap.

    Returns:
        None of fewer than two groups, where all draws are the same, and where the interval misses the value.
    """
    size = int(groups.max()) + 1
    if size < 2:
        return None
    columns = []
    for choices in (image, text):
        column = np.zeros((size, choices.shape[1]))
        np.add.at(column, groups, choices)
        columns.append(column)
    with np.errstate(invalid="ignore"):  # a draw of groups without pictures
        blocks = [overlap(block @ columns[0], block @ columns[1]) for block in draw_weights(size, RESAMPLES, SEED)]
    bounds = percentile_interval(np.concatenate(blocks))
    if bounds is None:
        return None
    low, high, error = bounds
    if not error or not low <= value <= high:
        return None
    low, high = widened((low, high), value, few_groups_factor(size))
    return max(0.0, low), min(1.0, high)


def _interval(value: float, questions: QuestionLoads, layer: int) -> tuple[float, float] | None:
    image, text = (questions.choices[modality][layer] for modality in ("image", "text"))
    return overlap_interval(image, text, questions.groups, value)


def draw(rows: Sequence[OverlapRow]) -> "Figure":
    """Overlap on the left, balance on the right, both over depth; crosses where experts are dead, at their share."""
    figure, (left, right) = new_figure(PAGE, 2.1, columns=2, sharey=True)
    places = list(range(len(rows)))
    left.plot(places, [row.overlap for row in rows], "o-", color=BLUE, markersize=3.2)
    for place, row in enumerate(rows):
        if row.low is not None and row.high is not None:
            left.plot([place, place], [row.low, row.high], color=BLUE, linewidth=0.8)
    left.set_ylabel("overlap")
    left.set_title("overlap of the experts of image and text tokens")
    right.plot(places, [row.balance for row in rows], "o-", color=GREY, markersize=3.2, label="all tokens")
    right.plot(places, [row.image_balance for row in rows], "s--", color=ORANGE, markersize=2.6, label="image tokens")
    right.plot(places, [row.text_balance for row in rows], "^--", color=SKY, markersize=2.8, label="text tokens")
    dead = {place: len(row.dead.split()) / row.experts for place, row in enumerate(rows) if row.dead}
    if dead:
        right.plot(list(dead), list(dead.values()), "x", color=VERMILLION, markersize=4, label="share of dead experts")
    right.set_ylabel("balance")
    right.set_title("balance of the load")
    right.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    for axes in (left, right):
        axes.set_ylim(0, 1.03)
        axes.grid(axis="y")
        layer_axis(axes, [row.layer for row in rows], PAGE / 2.8)
    return figure
