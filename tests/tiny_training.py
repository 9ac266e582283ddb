"""A dense tiny model, a few items with pictures and without, and recipes that train on them in seconds."""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.tiny_models import picture, tiny_model, tiny_processor

__all__ = ["log_of", "tiny_base", "tiny_data", "tiny_recipe"]


def tiny_base(folder: Path, **options) -> Path:
    """Folder of a dense model with its processor, as a finished stage 2 leaves it; options as for `tiny_model`."""
    base = folder / "base"
    tiny_model(layers=(), **options).save_pretrained(base)
    tiny_processor().save_pretrained(base)
    return base


def tiny_data(folder: Path, count: int = 24) -> dict[str, str]:
    """One entry of a recipe's `data`: every fourth item is text only."""
    images = folder / "images"
    images.mkdir()
    items = []
    for number in range(count):
        item: dict[str, Any] = {"id": f"item{number}"}
        if number % 4:
            picture(number).save(images / f"{number}.png")
            item["image"] = f"{number}.png"
        question = ("<image>\n" if number % 4 else "") + f"What is {number}?"
        answer = f"It is {number * number}."
        item["conversations"] = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
        items.append(item)
    file = folder / "items.json"
    file.write_text(json.dumps(items))
    return {"file": str(file), "images": str(images)}


def tiny_recipe(folder: Path, stage: int = 3, name: str = "recipe", train: dict | None = None, **keys) -> Path:
    """A recipe file beside a new base and new data (both made once per folder)."""
    if not (folder / "base").exists():
        tiny_base(folder)
        tiny_data(folder)
    tree: dict[str, Any] = {
        "stage": stage,
        "output": str(folder / "out"),
        "start_from": str(folder / "base"),
        "trains": {1: "projector", 2: "all-but-tower", 3: "moe-as-scripted"}[stage],
        "data": [{"file": str(folder / "items.json"), "images": str(folder / "images")}],
        "train": {
            "max_steps": 6,
            "per_device_batch_size": 4,
            "learning_rate": 1e-3,
            "save_steps": 2,
            "tensorboard": False,
            **(train or {}),
        },
    }
    if stage == 3:
        tree["moe"] = {"num_experts": 4, "top_k": 2}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**tree, **keys}))
    return path


def log_of(output: Path) -> list[dict[str, float]]:
    """The lines of a run's log without what depends on the clock."""
    lines = [json.loads(line) for line in (output / "training_log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("tokens_per_second", "mfu")} for line in lines]
