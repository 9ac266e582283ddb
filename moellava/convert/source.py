"""Reading an upstream checkpoint folder: which weight files it has, and their tensors one after the other."""

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

__all__ = ["PROJECTOR_ONLY", "ConversionError", "iterate_tensors", "open_weights", "read_config", "weight_files"]

PROJECTOR_ONLY = "mm_projector.bin"  # what a stage-1 checkpoint holds
SINGLE = ("model.safetensors", "pytorch_model.bin")
REOPEN_AFTER = 1 << 30  # bytes; the pages of a mapped file count as memory until it is closed


class ConversionError(ValueError):
    """A source checkpoint that cannot be converted; the message says what is wrong, where, and what to do."""


def read_config(folder: Path) -> dict:
    """`config.json` of a folder (ConversionError if it is missing or not JSON)."""
    path = folder / "config.json"
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise ConversionError(f"{path}: not found; SOURCE must be a checkpoint folder or a hub id") from None
    except ValueError as error:
        raise ConversionError(f"{path}: not JSON ({error})") from None


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights, safetensors before `.bin`, sharded or not.

    Raises:
        ConversionError: no weights, or a shard that the index names is missing.
    """
    for name in SINGLE:
        index = folder / f"{name}.index.json"
        if index.exists():
            try:
                shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise ConversionError(f"{index}: not a weight index (no weight_map)") from None
            missing = [shard for shard in shards if not (folder / shard).exists()]
            if missing:
                count = f"{len(missing)} of {len(shards)} shards missing: {', '.join(missing[:3])}"
                raise ConversionError(f"{folder}: {count}; download the checkpoint again")
            return [folder / shard for shard in shards]
        if (folder / name).exists():
            return [folder / name]
    raise ConversionError(f"{folder}: no weights; expected {' or '.join(SINGLE)}, or shards with their index")


def iterate_tensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of one file, by name, keeping no more than about 1 GB of the file in memory."""
    names, _ = open_weights(path)
    while names:
        _, read = open_weights(path)
        done = 0
        while names and done < REOPEN_AFTER:
            tensor = read(names[0])
            done += tensor.nbytes
            yield names.pop(0), tensor
            del tensor
        del read


def open_weights(path: Path) -> tuple[list[str], Callable[[str], torch.Tensor]]:
    """Names of a file's tensors, and a function that maps one of them from disk.

    Raises:
        ConversionError: a truncated or foreign file, or a pickle that holds anything but plain tensors.
    """
    if path.suffix == ".safetensors":
        try:
            file = safe_open(str(path), framework="pt")
        except (SafetensorError, OSError) as error:
            raise ConversionError(f"{path}: not a readable safetensors file ({error}); download it again") from None
        return list(file.keys()), file.get_tensor
    state = _load_pickle(path)
    return list(state), state.__getitem__


def _load_pickle(path: Path) -> dict[str, torch.Tensor]:
    try:
        state = _mapped_or_loaded(path)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise ConversionError(f"{path}: refused, this pickle holds more than plain tensors ({reason})") from None
    except (RuntimeError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ConversionError(f"{path}: not a readable torch file ({reason}); download it again") from None
    if not isinstance(state, dict):
        raise ConversionError(f"{path}: refused, it holds a {type(state).__name__} instead of tensors by name")
    for key, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise ConversionError(f"{path}: refused, {key!r} is a {type(value).__name__}, not a plain tensor")
    return state


def _mapped_or_loaded(path: Path) -> dict:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        return torch.load(path, map_location="cpu", weights_only=True)  # older than torch 1.6: not a zip archive
