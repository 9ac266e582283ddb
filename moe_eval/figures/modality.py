"""Figure 7 of the MoE-LLaVA paper: which of the two modalities each expert prefers, layer by layer.

Of the image tokens an expert gets the share i, of the text tokens the share t: its preference for images is i / (i + t).
There are ten times as many image tokens as text tokens, and this gives both the same weight, as the authors' `vis1.py`
does; 50 % is no preference.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from moe_eval.engine.backend import Modality
from moe_eval.figures.drawing import Drawing, Sources, file_name
from moe_eval.figures.routed import layer_axis, routed_runs, run_name, run_title, share_axis
from moe_eval.figures.style import COLUMN, ORANGE, PAGE, SKY, new_figure
from moe_eval.runs.routing import RoutingRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ModalityRow", "draw", "drawings", "rows"]


@dataclass(frozen=True)
class ModalityRow:
    """One expert of one layer; experts and layers count from 0. Tokens are counted by their first choice.

    Args:
        share_of_image, share_of_text: of all tokens of the modality, those that the expert gets.
        image_preference: share_of_image / (share_of_image + share_of_text); None for an expert that gets nothing.
    """

    model: str
    task: str
    layer: int
    expert: int
    image_tokens: int
    text_tokens: int
    share_of_image: float
    share_of_text: float
    image_preference: float | None


def drawings(sources: Sources) -> Iterable[Drawing]:
    for record in routed_runs(sources.runs):
        if all(record.tokens(modality) for modality in record.counts):  # without pictures there is nothing to prefer
            name, title = file_name("modality", run_name(record)), f"Modalities per expert: {run_title(record)}"
            yield Drawing(name, title, rows(record), draw)


def rows(record: RoutingRecord) -> list[ModalityRow]:
    """The preference of every expert."""
    found = []
    for index, layer in enumerate(record.layers):
        image, text = (_first_choices(record, modality, index) for modality in ("image", "text"))
        shares = zip(image / image.sum(), text / text.sum(), strict=True)
        for expert, (of_image, of_text) in enumerate(shares):
            preference = float(of_image / (of_image + of_text)) if of_image + of_text else None
            found.append(
                ModalityRow(
                    record.model,
                    record.task,
                    layer,
                    expert,
                    int(image[expert]),
                    int(text[expert]),
                    float(of_image),
                    float(of_text),
                    preference,
                )
            )
    return found


def _first_choices(record: RoutingRecord, modality: Modality, layer: int) -> np.ndarray:
    return np.array(record.counts[modality][layer][0])


def draw(rows: Sequence[ModalityRow]) -> "Figure":
    """A panel of stacked bars per expert; dashed lines: no preference. An expert that gets no token has no bar."""
    layers = sorted({row.layer for row in rows})
    experts = max(row.expert for row in rows) + 1
    columns = min(experts, 4)
    lines = -(-experts // columns)
    width = PAGE if columns > 2 else COLUMN
    figure, panels = new_figure(width, 0.4 + 1.4 * lines, lines, columns, sharex=True, sharey=True)
    for axes in panels[experts:]:
        axes.set_visible(False)
    for expert, axes in enumerate(panels[:experts]):
        preference = {row.layer: row.image_preference for row in rows if row.expert == expert}
        image = np.array([preference.get(layer) or 0.0 for layer in layers])
        text = np.array([0.0 if preference.get(layer) is None else 1 for layer in layers]) - image
        places = range(len(layers))
        axes.bar(places, text, 0.8, color=SKY, label="text tokens" if expert == 0 else None)
        axes.bar(
            places,
            image,
            0.8,
            text,
            color=ORANGE,
            label="image tokens, weighed as if there were as many" if expert == 0 else None,
        )
        axes.set_title(f"expert {expert}")
        layer_axis(axes, layers, width / (columns + 0.5))
        share_axis(axes, [0.5])
        if expert <= experts - columns:
            axes.set_xlabel("")
        if expert % columns == 1 or columns == 1:
            axes.set_ylabel("share of first choices (%)")
    figure.legend(loc="outside upper center", ncols=2)
    return figure
