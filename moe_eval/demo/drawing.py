"""The ways of tokens through experts as HTML: the picture by patch, what every layer does by modality, and token by token."""

import base64
import io
import math
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from moe_eval.demo.talker import Step, Way
from moe_eval.figures.style import PALETTE

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["STYLE", "draw_way"]

SIDE = 96.0
"""Of the picture, of 100."""
THUMBNAIL = 384
"""Longest side in pixels."""
PLAIN = "This model is dense, or its routing cannot be recorded: there is no choice of experts to show."

_TINTS = "\n".join(
    f".way .e{number} {{ fill: {colour}; background: {colour}55; }}" for number, colour in enumerate(PALETTE)
)
STYLE = f"""
.way {{ font-size: 13px; }}
.way h4 {{ margin: 14px 0 4px; font-size: 13px; }}
.way svg {{ display: block; width: 100%; }}
.way .seen {{ display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 16px; }}
.way .maps {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(76px, 1fr)); gap: 8px; }}
.way .patch rect {{ fill: transparent; stroke: transparent; stroke-width: 0.7; }}
.way .patch text {{ display: none; font-size: 3px; fill: currentColor; }}
.way .patch:hover rect {{ stroke: #d55e00; fill: #ffffff33; }}
.way .patch:hover text {{ display: inline; }}
.way .bar {{ display: flex; height: 18px; border-radius: 4px; overflow: hidden; }}
.way .bar span {{ overflow: hidden; text-align: center; font-size: 11px; line-height: 18px; }}
.way table {{ border-collapse: separate; border-spacing: 1px; width: 100%; font-variant-numeric: tabular-nums; }}
.way th {{ text-align: left; font-weight: 400; padding: 1px 6px; max-width: 180px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
.way table, .way tr, .way th, .way td {{ border: 0; }}
.way td {{ text-align: center; padding: 1px 4px; border-radius: 3px; }}
.way .off {{ text-decoration: line-through; opacity: 0.45; }}
.way .answer th {{ font-weight: 700; }}
.way .tokens {{ max-height: 320px; overflow: auto; }}
{_TINTS}
"""


def draw_way(way: Way | None, picture: "Image | None") -> str:
    """What the page shows beside an answer; a sentence for a dense model.

    Args:
        picture: what the conversation is about, as the model sees it once it is padded to a square.
    """
    if way is None:
        return f'<div class="way">{PLAIN}</div>'
    patches = [step for step in way.steps if step.kind == "image"]
    words = [step for step in way.steps if step.kind != "image"]
    parts = [*_picture(way, patches, picture), *_shares(way, patches, words), *_tokens(way, words)]
    return f'<div class="way">{"".join(parts)}</div>'


def _picture(way: Way, patches: Sequence[Step], picture: "Image | None") -> list[str]:
    """Patches stand in a square of rows, as LLaVA's do; where they do not, nothing tells which is where."""
    side = math.isqrt(len(patches))
    if picture is None or not patches or side * side != len(patches):
        return []
    size = SIDE / side
    cells = []
    for number, patch in enumerate(patches):
        x, y = number % side * size + 2, number // side * size
        text = _route(way, patch)
        cells.append(
            f'<g class="patch"><rect x="{x:.2f}" y="{y:.2f}" width="{size:.2f}" height="{size:.2f}"/>'
            f'<text x="2" y="{SIDE + 4:.0f}">{text}</text><title>{text}</title></g>'
        )
    image = f'<image href="{_data(picture)}" x="2" width="{SIDE:.0f}" height="{SIDE:.0f}" preserveAspectRatio="xMidYMid meet"/>'
    maps = [
        f'<div>layer {layer}<svg viewBox="0 0 {side} {side}">{_map([patch.experts[place] for patch in patches], side)}</svg></div>'
        for place, layer in enumerate(way.layers)
    ]
    return [
        '<div class="seen"><div><h4>The picture by patch: point at one</h4>'
        f'<svg viewBox="0 0 100 {SIDE + 6:.0f}" role="img" aria-label="The picture by patch">{image}{"".join(cells)}</svg></div>'
        f'<div><h4>First choice of every patch</h4><div class="maps">{"".join(maps)}</div></div></div>'
    ]


def _route(way: Way, step: Step) -> str:
    """`patch 8: layer 0 → 2, layer 2 → 1`"""
    choices = ", ".join(f"layer {layer} → {expert}" for layer, expert in zip(way.layers, step.experts, strict=True))
    return f"patch {step.text}: {choices}"


def _map(experts: Sequence[int], side: int) -> str:
    """The patches of each expert as one path."""
    places: dict[int, list[str]] = {}
    for number, expert in enumerate(experts):
        places.setdefault(expert, []).append(f"M{number % side} {number // side}h1v1h-1z")
    return "".join(
        f'<path class="e{expert % len(PALETTE)}" d="{"".join(of)}"><title>expert {expert}: {len(of)} patches</title></path>'
        for expert, of in sorted(places.items())
    )


def _shares(way: Way, patches: Sequence[Step], words: Sequence[Step]) -> list[str]:
    """A bar per layer and modality: which share of first choices each expert gets."""
    rows = []
    for place, layer in enumerate(way.layers):
        bars = "".join(f"<td>{_bar(way, place, steps)}</td>" for steps in (patches, words))
        rows.append(f"<tr><th>layer {layer}</th>{bars}</tr>")
    head = f"<tr><th></th><th>{len(patches)} patches</th><th>{len(words)} words of prompt and answer</th></tr>"
    return [f'<h4>Experts by modality</h4><table class="shares">{head}{"".join(rows)}</table>']


def _bar(way: Way, place: int, steps: Sequence[Step]) -> str:
    counts = sorted(Counter(step.experts[place] for step in steps).items())
    spans = (
        f'<span class="{_class(way, place, expert)}" style="width:{100 * count / len(steps):.1f}%" '
        f'title="expert {expert}: {count} of {len(steps)}">{expert}</span>'
        for expert, count in counts
    )
    return f'<div class="bar">{"".join(spans)}</div>'


def _class(way: Way, place: int, expert: int) -> str:
    off = " off" if (way.layers[place], expert) in way.off else ""
    return f"e{expert % len(PALETTE)}{off}"


def _tokens(way: Way, words: Sequence[Step]) -> list[str]:
    rows = []
    for step in words:
        cells = "".join(
            f'<td class="{_class(way, place, expert)}">{expert}</td>' for place, expert in enumerate(step.experts)
        )
        text = escape(step.text.strip() or repr(step.text)[1:-1])
        rows.append(f'<tr class="{step.kind}"><th title="{text}">{text}</th>{cells}</tr>')
    head = "".join(f"<td>{layer}</td>" for layer in way.layers)
    return [
        "<h4>Token by token (the answer in bold), by layer</h4>"
        f'<div class="tokens"><table><tr><th></th>{head}</tr>{"".join(rows)}</table></div>'
    ]


def _data(picture: "Image") -> str:
    small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    stream = io.BytesIO()
    small.save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
