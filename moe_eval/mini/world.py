"""What the pictures of the small world hold: scenes of coloured shapes, known before anything is drawn.

A scene is a plain description made from a seed, so that every question about it has a certain answer. It opens like
any other picture (`moe_eval.mini.drawing` draws it). Colours and shapes co-occur in families (`PALETTES`, `KITS`), as
objects do in photographs, so that "popular" and "often seen together" mean something.

Scenes for training and for testing differ by construction: which of the two a scene can be in is decided by a hash of
what it holds.
"""

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from moe_eval.mini.content import CELL, SceneContent, SceneObject, Sign, Split

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["COLOURS", "PLACES", "SHAPES", "WORDS", "Scene", "make_scenes"]

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "black")
SHAPES = ("circle", "square", "triangle", "star", "diamond", "heart", "ring", "cross")
SIZES = ("small", "large")
PLACES = ("indoors", "day", "night", "beach")

WORDS = (
    *("open", "shut", "exit", "stop", "slow", "taxi", "bus", "sale", "cafe", "milk", "tea", "rice", "bread", "fish"),
    *("park", "zoo", "gym", "bank", "hotel", "shop", "book", "art", "music", "lake", "farm", "city", "north", "south"),
    *("east", "west", "hello", "lucky", "happy", "love", "red", "blue", "green", "gold"),
    *("10", "12", "17", "24", "36", "45", "58", "63", "79", "80"),
)
"""What signs say. Four colour words among them: a sign that says "red" is not red."""

PALETTES = (
    ("red", "orange", "yellow", "pink"),
    ("blue", "green", "purple", "black"),
    ("red", "blue", "yellow", "black"),
    ("pink", "purple", "orange", "green"),
)
KITS = (
    ("circle", "star", "heart", "ring"),
    ("square", "triangle", "diamond", "cross"),
    ("circle", "square", "triangle", "star"),
    ("heart", "diamond", "cross", "ring"),
)

GRIDS = ((3, 3), (3, 3), (3, 2), (2, 3))
"""Columns and rows: square pictures (half of them), wide and tall ones, so that padding is exercised."""


class Scene(SceneContent):
    """A scene that opens like any other picture: `scene.open()` draws it."""

    def open(self) -> "Image":
        """The picture in RGB, `width` x `height` pixels; the same bytes on every machine."""
        from moe_eval.mini.drawing import draw_scene

        return draw_scene(self)


def make_scenes(
    count: int,
    seed: int,
    split: Split,
    *,
    objects: Sequence[int] = (1, 2, 2, 3, 3, 3, 4, 4, 4),
    signs: float = 0.4,
    flaws: float = 0.0,
) -> list[Scene]:
    """`count` scenes of one split; the same for the same arguments on every machine.

    Args:
        objects: how many objects a scene has, drawn evenly from these numbers.
        signs: share of scenes with a sign.
        flaws: share of photos in which nothing can be made out.
    """
    scenes: list[Scene] = []
    stream = _scenes(random.Random(seed), split, tuple(objects), signs, flaws)
    while len(scenes) < count:
        scene = next(stream)
        if scene.split == split:
            scenes.append(scene)
    return scenes


def _scenes(
    generator: random.Random, split: Split, objects: tuple[int, ...], signs: float, flaws: float
) -> Iterator[Scene]:
    number = 0
    while True:
        columns, rows = generator.choice(GRIDS)
        place = generator.choice(PLACES)
        # With a sign, one row is taken: a picture of two rows then has room for two or three objects.
        sign = Sign(generator.choice(WORDS), generator.randrange(rows)) if generator.random() < signs else None
        flaw = generator.choice(("blurred", "dark")) if generator.random() < flaws else ""
        cells = [(column, row) for row in range(rows) for column in range(columns) if sign is None or row != sign.row]
        labels = _labels(generator, min(generator.choice(objects), len(cells)))
        places = generator.sample(cells, len(labels))
        items = tuple(_object(generator, *label, *cell) for label, cell in zip(labels, places, strict=True))
        scene = Scene(f"{split}_{number:06d}.png", columns, rows, place, items, sign, flaw)
        number += scene.split == split
        yield scene


def _labels(generator: random.Random, count: int) -> list[tuple[str, str]]:
    """Different (colour, shape) pairs; weights fall along the family's list, so that some are common and some rare."""
    palette: tuple[str, ...] = generator.choice(PALETTES)
    kit: tuple[str, ...] = generator.choice(KITS)
    if generator.random() < 0.25:  # strangers: every pair can be met, as a rare one
        palette, kit = tuple(generator.sample(COLOURS, 4)), tuple(generator.sample(SHAPES, 4))
    pairs = [(colour, shape) for colour in palette for shape in kit]
    weights = [1 / (1 + i) / (1 + j) for i in range(len(palette)) for j in range(len(kit))]
    chosen: dict[tuple[str, str], None] = {}
    while len(chosen) < count:
        chosen[generator.choices(pairs, weights)[0]] = None
    return list(chosen)


def _object(generator: random.Random, colour: str, shape: str, column: int, row: int) -> SceneObject:
    size = generator.choice(SIZES)
    radius = CELL * (generator.uniform(0.26, 0.30) if size == "small" else generator.uniform(0.40, 0.45))
    slack = 0.8 * (CELL / 2 - radius)
    return SceneObject(
        colour=colour,
        shape=shape,
        size=size,
        column=column,
        row=row,
        x=(column + 0.5) * CELL + generator.uniform(-slack, slack),
        y=(row + 0.5) * CELL + generator.uniform(-slack, slack),
        radius=radius,
        angle=generator.uniform(-10, 10),
    )
