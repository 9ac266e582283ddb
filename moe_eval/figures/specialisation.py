"""What the paper's figures of experts lack: do experts know kinds of questions, does their choice go with the answer?

Of the text tokens' choices (a picture stands before its question, so its tokens cannot know it), first and later ones
alike, an expert gets a share in questions of one kind, and one in all of them. The difference is drawn. How much of it is
more than chance, a layer's mutual information between kind and expert says: `moe_eval.statistics.association`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from moe_eval.figures.drawing import Drawing, Sources, file_name
from moe_eval.figures.question_loads import QuestionLoads, read_question_loads
from moe_eval.figures.routed import layer_axis, run_name, run_title
from moe_eval.figures.style import PAGE, PALETTE, new_figure
from moe_eval.runs.routing import RoutingRecord, read_routing
from moe_eval.statistics.association import associations
from moe_eval.statistics.significance import holm
from moe_eval.task import SampleScore, worth

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["SpecialisationRow", "draw", "drawings", "label_sets", "rows"]

QUESTION_TYPES = ("structural", "category", "subject", "ability_group", "capabilities", "answer_type")
"""Where scores have the type of a question: GQA, POPE and MME, ScienceQA, MMBench, MM-Vet, VQAv2 and VizWiz."""

COLUMNS = 4
TITLE_WIDTH = 32
"""Letters that fit above a map."""

LEVEL = 0.05
"""Of the p-values that are filled in."""


@dataclass(frozen=True)
class SpecialisationRow:
    """One expert of one layer, in questions with one label; experts and layers count from 0.

    Args:
        by: what labels say: the field of the scores with the type of the question, `correct` (right, wrong: worth half or
            less) or `answer` (yes, no; other answers are left out).
        questions: with this label.
        choices: of their text tokens that are this expert.
        share: of all choices in them.
        mean_share: of all choices in the questions with any label.
        deviation: share − mean_share.
        bits: mutual information of label and expert in this layer, as counted.
        chance_bits: its mean over permuted labels; bits − chance_bits is corrected for chance.
        p_value: by permutation of labels within and between groups of questions.
        p_holm: the same, corrected for all layers.
    """

    model: str
    task: str
    by: str
    label: str
    questions: int
    layer: int
    expert: int
    choices: int
    share: float
    mean_share: float
    deviation: float
    bits: float
    chance_bits: float
    p_value: float
    p_holm: float


def drawings(sources: Sources) -> Iterable[Drawing]:
    for folder in sources.runs:
        record = read_routing(folder)
        questions = read_question_loads(folder) if record else None
        found = rows(record, questions) if record and questions else []
        if record and found:
            name, title = file_name("specialisation", run_name(record)), f"Specialisation: {run_title(record)}"
            yield Drawing(name, title, found, draw)


def label_sets(scores: Sequence[SampleScore]) -> dict[str, list[str | None]]:
    """What questions can be told apart by, and the label of each, None for one without; only where there are two labels."""
    kind = next((name for name in QUESTION_TYPES if name in scores[0]), None)
    sets: dict[str, list[str | None]] = {}
    if kind:
        sets[kind] = [str(score[kind]) if kind in score else None for score in scores]
    sets["correct"] = [
        None if (value := worth(score)) is None else "right" if value > 0.5 else "wrong" for score in scores
    ]
    sets["answer"] = [answer if (answer := score.get("prediction")) in ("yes", "no") else None for score in scores]
    return {by: labels for by, labels in sets.items() if len(set(labels) - {None}) > 1}


def rows(record: RoutingRecord, questions: QuestionLoads) -> list[SpecialisationRow]:
    """Every expert under every label; none where labels do not differ."""
    return [
        row
        for by, labels in label_sets(questions.scores).items()
        for row in _rows_by(record, questions, by, np.array([label or "" for label in labels]))
    ]


def _rows_by(
    record: RoutingRecord, questions: QuestionLoads, by: str, labels: np.ndarray
) -> Iterable[SpecialisationRow]:
    labelled = np.flatnonzero(labels != "")
    names, numbers = np.unique(labels[labelled], return_inverse=True)
    layers = [choices[labelled] for choices in questions.choices["text"]]
    found = associations(numbers, questions.groups[labelled], layers)
    corrected = holm([one.p_value for one in found])
    for number, name in enumerate(names.tolist()):
        for layer, choices, one, p_holm in zip(record.layers, layers, found, corrected, strict=True):
            mine, everyone = choices[numbers == number].sum(0), choices.sum(0)
            shares, means = mine / mine.sum(), everyone / everyone.sum()
            for expert in range(len(mine)):
                yield SpecialisationRow(
                    record.model,
                    record.task,
                    by,
                    name,
                    int((numbers == number).sum()),
                    layer,
                    expert,
                    int(mine[expert]),
                    float(shares[expert]),
                    float(means[expert]),
                    float(shares[expert] - means[expert]),
                    one.bits,
                    one.chance,
                    one.p_value,
                    p_holm,
                )


def draw(rows: Sequence[SpecialisationRow]) -> "Figure":
    """First a panel with the mutual information over depth, then a map of the deviations per label, on one scale."""
    labels = list(dict.fromkeys((row.by, row.label) for row in rows))
    lines = -(-(len(labels) + 1) // COLUMNS)
    figure, panels = new_figure(PAGE, 0.3 + 1.35 * lines, lines, COLUMNS)
    for axes in panels[len(labels) + 1 :]:
        axes.set_visible(False)
    layers = sorted({row.layer for row in rows})
    _draw_information(panels[0], rows, layers)
    limit = max(abs(row.deviation) for row in rows) or 1.0
    maps = panels[1 : len(labels) + 1]
    for axes, (by, label) in zip(maps, labels, strict=True):
        members = [row for row in rows if (row.by, row.label) == (by, label)]
        image = _draw_map(axes, members, layers, 100 * limit)
        axes.set_title(fill(f"{by}: {label} ({members[0].questions:,})", TITLE_WIDTH), fontsize=6)
    figure.colorbar(image, ax=maps, label="share − mean share (points)", fraction=0.05, aspect=30)
    for axes in panels[: len(labels) + 1]:
        layer_axis(axes, layers, PAGE / (COLUMNS + 1.5))
        axes.set_xlabel("MoE layer")
    return figure


def _draw_information(axes: "Axes", rows: Sequence[SpecialisationRow], layers: Sequence[int]) -> None:
    """Corrected for chance; filled where it is more than that."""
    for number, by in enumerate(dict.fromkeys(row.by for row in rows)):
        colour = PALETTE[number]
        of_layer = {row.layer: row for row in rows if row.by == by}
        bits = [1000 * (of_layer[layer].bits - of_layer[layer].chance_bits) for layer in layers]
        axes.plot(range(len(layers)), bits, color=colour, label=by)
        for place, layer in enumerate(layers):
            surface = colour if of_layer[layer].p_holm < LEVEL else "white"
            axes.plot(place, bits[place], "o", color=colour, markerfacecolor=surface, markersize=3)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_title(f"information (filled: p < {LEVEL})", fontsize=6)
    axes.set_ylabel("millibits")
    axes.legend(handlelength=1, fontsize=5)


def _draw_map(axes: "Axes", rows: Sequence[SpecialisationRow], layers: Sequence[int], limit: float) -> "AxesImage":
    experts = max(row.expert for row in rows) + 1
    points = np.full((experts, len(layers)), np.nan)
    for row in rows:
        points[row.expert, layers.index(row.layer)] = 100 * row.deviation
    shown = range(0, experts, -(-experts // 8))
    axes.set_yticks(shown)
    axes.set_ylabel("expert")
    return axes.imshow(points, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
