"""Reading an upstream checkpoint folder: which weight files it has, and their tensors one after the other."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

__all__ = ["ConversionError", "iterate_tensors", "read_config", "tensor_names", "weight_files"]

# A mapped file counts as memory until it is closed, so files are opened anew after this many bytes.
REOPEN_AFTER = 1 << 30

SINGLE = ("model.safetensors", "pytorch_model.bin")
PROJECTOR_ONLY = "mm_projector.bin"


class ConversionError(ValueError):
    """A source checkpoint that cannot be converted; the message says what is wrong, where, and what to do."""


def read_config(folder: Path) -> dict:
    """`config.json` of a folder.

    Raises:
        ConversionError: no such file, or not JSON.
    """
    path = folder / "config.json"
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise ConversionError(f"{path}: not found; SOURCE must be a checkpoint folder or a hub id") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConversionError(f"{path}: not JSON ({error})") from None


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights, safetensors before `.bin`, sharded or not.

    Raises:
        ConversionError: no weights, or a shard that the index names is missing.
    """
    for name in SINGLE:
        if (folder / f"{name}.index.json").exists():
            return _shards(folder / f"{name}.index.json")
        if (folder / name).exists():
            return [folder / name]
    raise ConversionError(f"{folder}: no weights found; expected one of {', '.join(SINGLE)} or its shards with an index")


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (json.JSONDecodeError, KeyError, AttributeError):
        raise ConversionError(f"{index}: not a weight index (no weight_map)") from None
    missing = [name for name in names if not (index.parent / name).exists()]
    if missing:
        raise ConversionError(
            f"{index.parent}: {len(missing)} of {len(names)} shards missing: {', '.join(missing[:3])}; "
            "download the checkpoint again"
        )
    return [index.parent / name for name in names]


def tensor_names(path: Path) -> list[str]:
    """Names of the tensors of one file, without reading their values."""
    with _Reader(path) as reader:
        return reader.names


def iterate_tensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of one file, by name, holding no more than about 1 GB of the file in memory.

    Raises:
        ConversionError: a truncated or foreign file, or a pickle that holds anything but plain tensors.
    """
    names = tensor_names(path)
    while names:
        read = 0
        with _Reader(path) as reader:
            while names and read < REOPEN_AFTER:
                name = names.pop(0)
                tensor = reader.tensor(name)
                read += tensor.nbytes
                yield name, tensor
                del tensor


class _Reader:
    """One open weight file; tensors are mapped from disk where its format allows it."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> "_Reader":
        if self.path.suffix == ".safetensors":
            try:
                self._file = safe_open(str(self.path), framework="pt")
            except (SafetensorError, OSError) as error:
                raise ConversionError(
                    f"{self.path}: not a readable safetensors file ({error}); download it again"
                ) from None
            self.names, self.tensor = list(self._file.keys()), self._file.get_tensor
        else:
            self._file = _load_pickle(self.path)
            self.names, self.tensor = list(self._file), self._file.__getitem__
        return self

    def __exit__(self, *_: object) -> None:
        del self._file, self.tensor


def _load_pickle(path: Path) -> dict[str, torch.Tensor]:
    try:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:  # files older than torch 1.6 are not zip archives and cannot be mapped
            if "mmap" not in str(error):
                raise
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise ConversionError(f"{path}: refused, this pickle holds more than plain tensors ({reason})") from None
    except (RuntimeError, EOFError, OSError) as error:
        raise ConversionError(
            f"{path}: not a readable torch file ({str(error).splitlines()[0]}); download it again"
        ) from None
    foreign = [key for key, value in state.items() if not isinstance(value, torch.Tensor)] if isinstance(state, dict) else None
    if foreign is None or foreign:
        what = f"{foreign[0]!r} is a {type(state[foreign[0]]).__name__}" if foreign else f"it is a {type(state).__name__}"
        raise ConversionError(f"{path}: refused, expected a dictionary of plain tensors, but {what}")
    return state
