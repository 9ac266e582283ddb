"""Scenes of coloured shapes: first what a picture holds, then the picture.

A scene is a plain description made from a seed, so that questions about it have certain answers; drawing comes
later and only for pictures that are looked at. Shapes co-occur in families (`PALETTES`), as objects do in
photographs, so that "popular" and "often seen together" mean something.
"""

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["COLOURS", "SHAPES", "Scene", "SceneObject", "make_scenes"]

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 48, 49),
    "orange": (243, 134, 32),
    "yellow": (246, 205, 60),
    "green": (46, 160, 87),
    "blue": (43, 108, 196),
    "purple": (132, 75, 181),
    "pink": (240, 138, 180),
    "black": (38, 42, 48),
}

SHAPES = ("circle", "square", "triangle", "star", "diamond", "hexagon", "heart", "ring")

PALETTES: tuple[tuple[str, ...], ...] = (
    ("red", "orange", "yellow", "pink"),
    ("blue", "green", "purple", "black"),
    ("red", "blue", "yellow", "black"),
    ("pink", "purple", "orange", "green"),
)

BACKGROUNDS = ((247, 244, 238), (236, 243, 248), (241, 247, 238), (248, 239, 243))

GRIDS = {(336, 252): (3, 2), (252, 336): (2, 3), (288, 288): (3, 3)}
"""Columns and rows of each picture size (width, height): wide, tall and square, so that padding is exercised."""


@dataclass(frozen=True)
class SceneObject:
    """One shape; `x`, `y` and `radius` are in pixels, `angle` in degrees."""

    colour: str
    shape: str
    x: float
    y: float
    radius: float
    angle: float

    @property
    def label(self) -> str:
        """Such as `red circle`: unique in its scene."""
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """What a picture holds. It opens like any other picture: `scene.open()` draws it."""

    name: str
    width: int
    height: int
    background: tuple[int, int, int]
    objects: tuple[SceneObject, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(item.label for item in self.objects)

    def open(self) -> "Image":
        """The picture in RGB, drawn at twice its size and reduced so that edges are smooth."""
        from PIL import Image, ImageDraw

        canvas = Image.new("RGB", (2 * self.width, 2 * self.height), self.background)
        draw = ImageDraw.Draw(canvas)
        for item in self.objects:
            _draw_object(draw, item, self.background)
        return canvas.resize((self.width, self.height), Image.Resampling.LANCZOS)


def make_scenes(count: int, seed: int) -> list[Scene]:
    """`count` different scenes of three to six objects; the same for the same seed on every machine."""
    generator = random.Random(seed)
    return [_make_scene(f"scene_{index:04d}", generator) for index in range(count)]


def _make_scene(name: str, generator: random.Random) -> Scene:
    width, height = generator.choice(list(GRIDS))
    palette = generator.choice(PALETTES)
    # Weights fall along both lists: some objects are common and some rare, as in real pictures.
    pairs = [(colour, shape) for colour in palette for shape in SHAPES]
    weights = [1 / (1 + i) / (1 + j) for i in range(len(palette)) for j in range(len(SHAPES))]
    chosen: list[tuple[str, str]] = []
    wanted = generator.randint(3, 6)
    while len(chosen) < wanted:
        pair = generator.choices(pairs, weights)[0]
        if pair not in chosen:
            chosen.append(pair)
    columns, rows = GRIDS[width, height]
    cells = [(column, row) for row in range(rows) for column in range(columns)]
    room = min(width / columns, height / rows)
    objects = []
    for (colour, shape), (column, row) in zip(chosen, generator.sample(cells, wanted), strict=True):
        radius = room * generator.uniform(0.28, 0.40)
        slack = room / 2 - radius
        objects.append(
            SceneObject(
                colour=colour,
                shape=shape,
                x=(column + 0.5) * width / columns + generator.uniform(-slack, slack),
                y=(row + 0.5) * height / rows + generator.uniform(-slack, slack),
                radius=radius,
                angle=generator.uniform(-12, 12),
            )
        )
    return Scene(name, width, height, generator.choice(BACKGROUNDS), tuple(objects))


def _draw_object(draw, item: SceneObject, background: tuple[int, int, int]) -> None:
    x, y, radius = 2 * item.x, 2 * item.y, 2 * item.radius
    fill = COLOURS[item.colour]
    edge = tuple(int(0.72 * channel) for channel in fill)
    width = max(2, round(radius / 14))
    box = (x - radius, y - radius, x + radius, y + radius)
    if item.shape in ("circle", "ring"):
        draw.ellipse(box, fill=fill, outline=edge, width=width)
        if item.shape == "ring":
            hole = 0.52 * radius
            draw.ellipse((x - hole, y - hole, x + hole, y + hole), fill=background, outline=edge, width=width)
        return
    turn = math.radians(item.angle)
    cosine, sine = math.cos(turn), math.sin(turn)
    corners = [
        (x + radius * (u * cosine - v * sine), y + radius * (u * sine + v * cosine)) for u, v in _outline(item.shape)
    ]
    draw.polygon(corners, fill=fill, outline=edge, width=width)


def _outline(shape: str) -> list[tuple[float, float]]:
    """Corners within the unit circle, y downwards."""
    if shape == "heart":
        steps = (2 * math.pi * step / 60 for step in range(60))
        return [
            (
                math.sin(t) ** 3,
                -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16,
            )
            for t in steps
        ]
    if shape == "star":
        return [(r * math.sin(math.pi * k / 5), -r * math.cos(math.pi * k / 5)) for k, r in enumerate([1.0, 0.42] * 5)]
    if shape == "diamond":
        return [(0.0, -1.0), (0.68, 0.0), (0.0, 1.0), (-0.68, 0.0)]
    corners, first = {"square": (4, math.pi / 4), "triangle": (3, 0.0), "hexagon": (6, 0.0)}[shape]
    angles = (first + 2 * math.pi * k / corners for k in range(corners))
    return [(math.sin(angle), -math.cos(angle)) for angle in angles]
