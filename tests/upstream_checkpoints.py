"""Copies of the recorded checkpoints in the upstream format, to be changed or damaged by a test."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

__all__ = ["CASES", "ORACLE", "change_config", "change_weights", "copy_checkpoint", "read_weights", "tower_folder"]

ORACLE = Path(__file__).parent / "data" / "oracle"
CASES = tuple(sorted(tower.parents[2].name for tower in ORACLE.glob("*/*/*/preprocessor_config.json")))
"""Those of MoE-LLaVA's and LLaVA's code, which have their tower beside them."""

State = dict[str, torch.Tensor]


def copy_checkpoint(case: str, folder: Path) -> Path:
    """The checkpoint folder of a copy of a case, with its tower (and its stage-1 folder) beside it."""
    ignore = shutil.ignore_patterns("io.*", "images", "*_init.safetensors")
    shutil.copytree(ORACLE / case, folder / case, ignore=ignore)
    return folder / case / "checkpoint"


def tower_folder(checkpoint: Path) -> Path:
    """Where the vision tower of a copy lies."""
    (folder,) = [*checkpoint.parent.glob("openai/*"), *checkpoint.parent.glob("google/*")]
    return folder


def change_config(folder: Path, **changes: object) -> None:
    """Set keys of `config.json`; `...` removes one; a dictionary is merged into the one that is there."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for key, value in changes.items():
        if value is ...:
            del config[key]
        elif isinstance(value, dict):
            config[key] = {**(config.get(key) or {}), **value}
        else:
            config[key] = value
    path.write_text(json.dumps(config))


def read_weights(path: Path) -> State:
    """Tensors of one file, or of all weight files of a folder."""
    if path.is_dir():
        files = sorted(path.glob("*.safetensors")) or sorted(path.glob("pytorch_model*.bin"))
        return {name: tensor for file in files for name, tensor in read_weights(file).items()}
    return load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)


def change_weights(path: Path, change: Callable[[State], State | None]) -> None:
    """Rewrite one file with what `change` returns, or with the tensors that it changed in place."""
    state = read_weights(path)
    changed = change(state)
    state = state if changed is None else changed
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, metadata={"format": "pt"})
    else:
        torch.save(state, path)
