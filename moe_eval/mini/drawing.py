"""From what a scene holds to its picture: drawn with Pillow at twice the size and reduced, so that edges are smooth."""

import math
import random
from functools import cache

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from moe_eval.mini.content import CELL, SceneContent, SceneObject, Sign

__all__ = ["draw_scene"]

RGB = tuple[int, int, int]

FILLS: dict[str, RGB] = {
    "red": (216, 44, 46),
    "orange": (243, 134, 32),
    "yellow": (248, 210, 56),
    "green": (38, 152, 80),
    "blue": (40, 98, 200),
    "purple": (128, 68, 178),
    "pink": (242, 140, 186),
    "black": (34, 37, 43),
}

GROUNDS: dict[str, tuple[RGB, RGB]] = {
    "indoors": (((247, 243, 236)), ((226, 214, 198))),
    "day": ((198, 226, 247), (173, 213, 148)),
    "night": ((112, 117, 152), (84, 92, 112)),
    "beach": ((206, 234, 242), (240, 222, 178)),
}
"""Colours above and below the horizon."""

SCALE = 2


def draw_scene(scene: SceneContent) -> Image.Image:
    """The picture of a scene, in RGB."""
    size = (SCALE * scene.width, SCALE * scene.height)
    above, below = GROUNDS[scene.place]
    canvas = Image.new("RGB", size, above)
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((0, 0.7 * size[1], *size), fill=below)
    _draw_sky(draw, scene, size)
    if scene.sign:
        _draw_sign(draw, scene.sign, size[0])
    for item in scene.objects:
        _draw_object(draw, item)
    picture = canvas.resize((scene.width, scene.height), Image.Resampling.LANCZOS)
    if scene.flaw == "blurred":
        return picture.filter(ImageFilter.GaussianBlur(CELL / 3))
    if scene.flaw == "dark":
        return ImageEnhance.Brightness(picture).enhance(0.04)
    return picture


def _draw_sky(draw: ImageDraw.ImageDraw, scene: SceneContent, size: tuple[int, int]) -> None:
    """Faint stars at night and faint clouds by day, too small and pale to be taken for objects."""
    generator = random.Random(scene.name)
    if scene.place == "night":
        for _ in range(14):
            x, y = generator.uniform(0, size[0]), generator.uniform(0, 0.6 * size[1])
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(212, 214, 230))
    elif scene.place in ("day", "beach"):
        for _ in range(3):
            x, y = generator.uniform(0, size[0]), generator.uniform(0, 0.5 * size[1])
            draw.ellipse((x - 26, y - 7, x + 26, y + 7), fill=(222, 238, 250))


def _draw_sign(draw: ImageDraw.ImageDraw, sign: Sign, width: int) -> None:
    cell = SCALE * CELL
    top = sign.row * cell
    box = (0.06 * width, top + 0.12 * cell, 0.94 * width, top + 0.88 * cell)
    draw.rounded_rectangle(box, radius=0.12 * cell, fill=(255, 255, 252), outline=(60, 66, 76), width=5)
    text = sign.word.upper()
    font = _font(round(0.52 * cell))
    draw.text((width / 2, top + cell / 2), text, fill=(20, 24, 30), font=font, anchor="mm")


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The typeface that comes with Pillow: the same on every machine."""
    return ImageFont.load_default(size)


def _draw_object(draw: ImageDraw.ImageDraw, item: SceneObject) -> None:
    x, y, radius = SCALE * item.x, SCALE * item.y, SCALE * item.radius
    fill = FILLS[item.colour]
    edge = tuple(int(0.66 * channel) for channel in fill)
    width = max(2, round(radius / 12))
    if item.shape == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill, outline=edge, width=width)
    elif item.shape == "ring":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=fill, width=round(0.42 * radius))
    else:
        turn = math.radians(item.angle)
        cosine, sine = math.cos(turn), math.sin(turn)
        corners = [
            (x + radius * (u * cosine - v * sine), y + radius * (u * sine + v * cosine))
            for u, v in _OUTLINES[item.shape]
        ]
        draw.polygon(corners, fill=fill, outline=edge, width=width)


def _heart() -> list[tuple[float, float]]:
    steps = (2 * math.pi * step / 60 for step in range(60))
    return [
        (math.sin(t) ** 3, -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16)
        for t in steps
    ]


_ARM = 0.33

# Corners within the unit circle, y downwards.
_OUTLINES: dict[str, list[tuple[float, float]]] = {
    "square": [(-0.76, -0.76), (0.76, -0.76), (0.76, 0.76), (-0.76, 0.76)],
    "triangle": [(0.0, -0.95), (0.92, 0.72), (-0.92, 0.72)],
    "star": [(r * math.sin(math.pi * k / 5), -r * math.cos(math.pi * k / 5)) for k, r in enumerate([1.0, 0.42] * 5)],
    "diamond": [(0.0, -1.0), (0.66, 0.0), (0.0, 1.0), (-0.66, 0.0)],
    "heart": _heart(),
    "cross": [
        *((-_ARM, -0.95), (_ARM, -0.95), (_ARM, -_ARM), (0.95, -_ARM), (0.95, _ARM), (_ARM, _ARM)),
        *((_ARM, 0.95), (-_ARM, 0.95), (-_ARM, _ARM), (-0.95, _ARM), (-0.95, -_ARM), (-_ARM, -_ARM)),
    ],
}
