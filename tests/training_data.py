"""Small data sets in LLaVA's format."""

import json
from collections.abc import Sequence
from pathlib import Path

from moellava.training.files import DataFile
from tests.tiny_models import picture

__all__ = ["item", "write_items"]


def item(name: str, *turns: str, image: str | list[str] | None = None) -> dict:
    """An item whose turns are human and gpt in turn."""
    roles = ("human", "gpt")
    raw: dict = {"id": name, "conversations": [{"from": roles[n % 2], "value": turn} for n, turn in enumerate(turns)]}
    return raw if image is None else {**raw, "image": image}


def write_items(folder: Path, items: Sequence[object], name: str = "items.json") -> DataFile:
    """A file of items beside the folder `images`, which gets every picture that they name, except `missing*`."""
    images = folder / "images"
    images.mkdir(exist_ok=True)
    for raw in items:
        named = raw.get("image", []) if isinstance(raw, dict) else []
        for image in named if isinstance(named, list) else [named]:
            if isinstance(image, str) and not image.startswith("missing"):
                picture(len(image), (24 + 8 * len(image), 28)).save(images / image)
    (folder / name).write_text(json.dumps(items))
    return DataFile(folder / name, images)
