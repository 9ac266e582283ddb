"""How many tokens a picture becomes: one number for all models, in each image processor's own settings.

A processor has one of these ways. It sizes a picture by its area in pixels; it cuts a picture into tiles, each with the same
number of tokens; it has a list of sizes, or of numbers of tokens, to choose from; or all pictures become equally many.
"""

import json
import re
from math import isqrt
from typing import Any

from moe_eval.errors import UserError, unknown

__all__ = ["parse_settings", "picture_settings", "with_settings"]

COUNTS_FRAMES = ("Glm",)
"""Image processors that count a picture's area once for every frame of a temporal patch."""

SOFT_TOKENS = (70, 140, 280, 560, 1120)
"""What Gemma 4's image processor takes. Source: transformers `image_processing_gemma4.py`."""


def parse_settings(text: str) -> dict[str, Any]:
    """Settings from `NAME=VALUE,…`; values are JSON, and text where they are none.

    >>> parse_settings('do_resize=false,size={"height": 28, "width": 28},resample=3')
    {'do_resize': False, 'size': {'height': 28, 'width': 28}, 'resample': 3}

    Raises:
        UserError: for a word that is no NAME=VALUE.
    """
    settings = {}
    for word in re.split(r",(?=\s*\w+=)", text):
        name, equals, value = word.strip().partition("=")
        if not (equals and name):
            raise UserError(f"--processor-kwargs {word}: NAME=VALUE is wanted")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            settings[name] = value
    return settings


def with_settings(image_processor: Any, settings: dict[str, Any]) -> Any:
    """The same image processor with other settings.

    Raises:
        UserError: for a setting that it does not have, naming those it has, and for a value that it refuses.
    """
    known = {*_names(getattr(type(image_processor), "valid_kwargs", dict)), *_own(image_processor)}
    for name in settings:
        if name not in known:
            raise unknown(f"name in --processor-kwargs of {type(image_processor).__name__}", name, known)
    try:
        return type(image_processor).from_dict(image_processor.to_dict(), **settings)
    except (ValueError, TypeError, KeyError) as error:
        given = ", ".join(f"{name}={value}" for name, value in settings.items())
        raise UserError(f"{type(image_processor).__name__} refuses {given}: {' '.join(str(error).split())}") from error


def picture_settings(processor: Any, tokens: int) -> dict[str, Any]:
    """Settings of a processor's image processor with which no picture becomes more than so many picture tokens.

    What stands between them is not counted; a strip that is thinner than a token may become more.

    Raises:
        UserError: where the processor has no such setting, or needs more tokens.
    """
    images = processor.image_processor
    for knows, settings in (
        ("max_soft_tokens", _from_menu),
        ("max_image_tokens", _by_tokens),
        ("image_grid_pinpoints", _by_grids),
        ("crop_to_patches", _by_crops),
        ("do_image_splitting", _by_splitting),
        ("split_image", _by_size),
        ("merge_size", _by_area),
    ):
        if hasattr(images, knows):
            return settings(processor, images, tokens)
    raise UserError(
        f"--picture-tokens {tokens}: {type(images).__name__} has no budget of tokens; leave it out. It knows "
        f"{', '.join(sorted(_own(images)))} (--processor-kwargs)"
    )


def _from_menu(processor: Any, images: Any, tokens: int) -> dict[str, Any]:
    """Gemma 4: one of a few numbers."""
    return {"max_soft_tokens": max(_affordable(tokens, {number: number for number in SOFT_TOKENS}))}


def _by_tokens(processor: Any, images: Any, tokens: int) -> dict[str, Any]:
    """LFM2-VL and others: the number itself; without tiles, each of which may have so many."""
    settings: dict[str, Any] = {"max_image_tokens": tokens}
    if hasattr(images, "min_image_tokens"):
        settings["min_image_tokens"] = min(images.min_image_tokens, tokens)
    if hasattr(images, "do_image_splitting"):
        settings["do_image_splitting"] = False
    return settings


def _by_grids(processor: Any, images: Any, tokens: int) -> dict[str, Any]:
    """LLaVA-NeXT and LLaVA-OneVision: a small version of the picture, and tiles in one of some arrangements."""
    side = images.crop_size["height"] if images.crop_size else images.size["height"]
    told = getattr(processor, "num_image_tokens", None)
    rows = isqrt(told) if told else side // processor.patch_size
    costs = {}
    for height, width in images.image_grid_pinpoints:
        down, across = height // side, width // side
        costs[height, width] = rows * rows * (1 + down * across) + rows * down  # a token ends every row
    return {"image_grid_pinpoints": [list(grid) for grid in _affordable(tokens, costs)]}


def _by_crops(processor: Any, images: Any, tokens: int) -> dict[str, Any]:
    """InternVL, Ovis2, Aya and others: tiles, and a small version of the picture beside them."""
    each = _tokens_of_a_tile(processor, images)
    _affordable(tokens, {1: each})
    if tokens // each < 3:  # two tiles make three
        return {"crop_to_patches": False}
    return {"crop_to_patches": True, "min_patches": 1, "max_patches": tokens // each - 1}


def _by_splitting(processor: Any, images: Any, tokens: int) -> dict[str, Any]:
    """Idefics 2: the four quarters and the whole, or the whole alone. Idefics 3: as many tiles as its size makes, and the whole."""
    each = processor.image_seq_len
    _affordable(tokens, {1: each})
    if not hasattr(images, "max_image_size"):
        return {"do_image_splitting": tokens // each >= 5}
    along = isqrt(max(tokens // each - 1, 0))
    tile = images.max_image_size["longest_edge"]
    if along < 2:
        return {"do_image_splitting": False, "size": {"longest_edge": tile}}
    return {"do_image_splitting": True, "size": {"longest_edge": along * tile}}


def _by_size(processor: Any, images: Any, tokens: int) -> dict[str, Any]:
    """Aria: one of two sizes, each with its number of tokens; not cut."""
    return {"max_image_size": max(_affordable(tokens, processor.size_conversion)), "split_image": False}


def _by_area(processor: Any, images: Any, tokens: int) -> dict[str, Any]:
    """Qwen-VL, GLM-V, PaddleOCR and others: the area in pixels, of which each token stands for a square."""
    area = tokens * (images.patch_size * images.merge_size) ** 2
    if type(images).__name__.startswith(COUNTS_FRAMES):
        area *= images.temporal_patch_size
    return {"size": {"shortest_edge": min(images.size["shortest_edge"], area), "longest_edge": area}}


def _affordable(tokens: int, costs: dict[Any, int]) -> list[Any]:
    """What costs at most so many tokens.

    Raises:
        UserError: when nothing is that cheap.
    """
    found = [what for what, cost in costs.items() if cost <= tokens]
    if not found:
        known = ", ".join(map(str, sorted(set(costs.values()))))
        raise UserError(
            f"--picture-tokens {tokens}: a picture becomes at least {min(costs.values())} here; there are {known}"
        )
    return found


def _tokens_of_a_tile(processor: Any, images: Any) -> int:
    """Of processors that cut pictures into tiles."""
    told = getattr(processor, "image_seq_length", None)
    if told is not None:
        return int(told)
    return int((processor.img_size // processor.patch_size) ** 2)


def _names(kwargs: Any) -> set[str]:
    return {name for kind in (*kwargs.__mro__, kwargs) for name in getattr(kind, "__annotations__", {})}


def _own(image_processor: Any) -> set[str]:
    """Settings that its files have."""
    return {name for name in image_processor.to_dict() if not name.startswith("_") and not name.endswith("_type")}
