"""What each patch of a picture shows: dense labels, from which a small vision tower learns to see (stage 0)."""

from collections.abc import Mapping

from moe_eval.mini.content import CELL
from moe_eval.mini.questions import COLUMNS, ROWS, column_name, row_name
from moe_eval.mini.world import COLOURS, PLACES, SHAPES, SIZES, WORDS, Scene

__all__ = ["VOCABULARIES", "patch_labels"]

VOCABULARIES: Mapping[str, tuple[str, ...]] = {
    "shape": ("", *SHAPES),
    "colour": ("", *COLOURS),
    "size": ("", *SIZES),
    "word": ("", *WORDS),
    "place": ("", *PLACES),
    "column": ("", *COLUMNS),
    "row": ("", *ROWS),
}
"""The labels of each kind; a patch's label is an index into its list, 0 where there is nothing of the kind."""

Box = tuple[float, float, float, float]


def patch_labels(scene: Scene, patches_per_side: int) -> dict[str, list[int]]:
    """Labels by kind, one for each patch of the picture padded to a square, row by row.

    A patch shows the object that covers most of it, if that is at least a quarter; every patch of a sign shows its
    word, and every patch inside the picture its place and where in the picture it is. A photo with a flaw shows nothing.
    """
    side = max(scene.width, scene.height)
    left, top = (side - scene.width) / 2, (side - scene.height) / 2
    patch = side / patches_per_side
    labels: dict[str, list[int]] = {kind: [] for kind in VOCABULARIES}
    for row in range(patches_per_side):
        for column in range(patches_per_side):
            x, y = column * patch - left, row * patch - top
            seen = {} if scene.flaw else _seen(scene, (x, y, x + patch, y + patch))
            for kind, names in VOCABULARIES.items():
                labels[kind].append(names.index(seen.get(kind, "")))
    return labels


def _seen(scene: Scene, patch: Box) -> dict[str, str]:
    inside = _overlap(patch, (0, 0, scene.width, scene.height)) > 0.5
    seen = {"place": scene.place, **_where(scene, patch)} if inside else {}
    if scene.sign:
        top = scene.sign.row * CELL
        if _overlap(patch, (0, top + 0.1 * CELL, scene.width, top + 0.9 * CELL)) > 0.4:
            return {**seen, "word": scene.sign.word}
    covered = [
        (_overlap(patch, (o.x - o.radius, o.y - o.radius, o.x + o.radius, o.y + o.radius)), o) for o in scene.objects
    ]
    share, item = max(covered, key=lambda pair: pair[0], default=(0.0, None))
    if item is not None and share >= 0.25:
        seen |= {"shape": item.shape, "colour": item.colour, "size": item.size}
    return seen


def _where(scene: Scene, patch: Box) -> dict[str, str]:
    """Column and row of the cell that holds the patch's middle."""
    column = int((patch[0] + patch[2]) / 2 / CELL)
    row = int((patch[1] + patch[3]) / 2 / CELL)
    return {
        "column": column_name(min(max(column, 0), scene.columns - 1), scene.columns),
        "row": row_name(min(max(row, 0), scene.rows - 1), scene.rows),
    }


def _overlap(patch: Box, box: Box) -> float:
    """Share of the patch that lies in the box."""
    width = min(patch[2], box[2]) - max(patch[0], box[0])
    height = min(patch[3], box[3]) - max(patch[1], box[1])
    return max(width, 0) * max(height, 0) / ((patch[2] - patch[0]) * (patch[3] - patch[1]))
