"""Reading an upstream checkpoint folder: which weight files it has, and their tensors one after the other."""

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open

__all__ = [
    "PROJECTOR_ONLY",
    "ConversionError",
    "blame",
    "iterate_tensors",
    "open_weights",
    "read_config",
    "weight_files",
]

PROJECTOR_ONLY = "mm_projector.bin"  # what a stage-1 checkpoint holds
SINGLE = ("model.safetensors", "pytorch_model.bin")
LFS = b"version https://git-lfs"
REOPEN_AFTER = 1 << 28  # bytes; the pages of a mapped file count as memory until it is closed


class ConversionError(ValueError):
    """A source checkpoint that cannot be converted; the message says what is wrong, where, and what to do."""


@contextmanager
def blame(what: object, advice: str = "", kind: type[ValueError] = ConversionError) -> Iterator[None]:
    """Whatever goes wrong in the block is an error of `kind` about `what` (a file, mostly), in one line."""
    try:
        yield
    except kind:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise kind(f"{what}: {reason}{advice}") from error


def read_config(folder: Path) -> dict:
    """`config.json` of a folder (ConversionError if it is missing or not a JSON object)."""
    path = folder / "config.json"
    if not path.exists():
        raise ConversionError(f"{path}: not found; SOURCE must be a checkpoint folder or a hub id")
    with blame(path, advice="; it is not JSON"):
        config = json.loads(path.read_text())
    if not isinstance(config, dict):
        raise ConversionError(f"{path}: holds a {type(config).__name__} instead of an object")
    return config


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights, safetensors before `.bin`, sharded or not.

    Raises:
        ConversionError: no weights, or a shard that the index names is missing.
    """
    for name in SINGLE:
        index = folder / f"{name}.index.json"
        if index.exists():
            with blame(index, advice=": not a weight index"):
                shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
            missing = [shard for shard in shards if not (folder / shard).exists()]
            if missing:
                count = f"{len(missing)} of {len(shards)} shards missing: {', '.join(missing[:3])}"
                raise ConversionError(f"{folder}: {count}; download the checkpoint again")
            return [folder / shard for shard in shards]
        if (folder / name).exists():
            return [folder / name]
    raise ConversionError(f"{folder}: no weights; expected {' or '.join(SINGLE)}, or shards with their index")


def iterate_tensors(path: Path, part: str | None = None) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of one file, by name, keeping no more than about 256 MB of the file in memory, or one tensor.

    Args:
        path: the file.
        part: key under which a `.bin` or `.pth` keeps its tensors, beside other things that are not read.
    """
    names, _ = open_weights(path, part)
    _check_sums(path)
    while names:
        _, read = open_weights(path, part)
        done = 0
        while names and done < REOPEN_AFTER:
            tensor = read(names[0])
            done += tensor.nbytes
            yield names.pop(0), tensor
            del tensor
        del read


def _check_sums(path: Path) -> None:
    """torch's files are zip archives, whose checksums it writes but does not look at."""
    if path.suffix == ".safetensors" or not zipfile.is_zipfile(path):
        return
    with blame(path, advice="; download it again"), zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged:
        raise ConversionError(f"{path}: damaged, the checksum of {damaged} in it is wrong; download it again")


def open_weights(path: Path, part: str | None = None) -> tuple[list[str], Callable[[str], torch.Tensor]]:
    """Names of a file's tensors, and a function that maps one of them from disk.

    Raises:
        ConversionError: a truncated or foreign file, or a pickle that holds anything but plain tensors.
    """
    with path.open("rb") as stream:
        if stream.read(len(LFS)) == LFS:
            raise ConversionError(f"{path}: a Git LFS pointer, not the file itself; fetch it with git lfs pull")
    if path.suffix == ".safetensors":
        with blame(path, advice="; it is not a readable safetensors file, download it again"):
            file = safe_open(str(path), framework="pt")
            return list(file.keys()), file.get_tensor
    state = _load_pickle(path, part)
    return list(state), state.__getitem__


def _load_pickle(path: Path, part: str | None) -> dict[str, torch.Tensor]:
    with blame(path, advice="; it is not a readable torch file, download it again"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            state = _mapped_or_loaded(path)
        except pickle.UnpicklingError as error:
            foreign = re.search(r"GLOBAL (\S+)", str(error))
            what = f"it names {foreign[1]}" if foreign else str(error).splitlines()[0]
            raise ConversionError(f"{path}: refused, this pickle is not of plain tensors only: {what}") from None
    if part is not None and isinstance(state, dict) and part in state:
        state = state[part]
    elif part is not None:
        raise ConversionError(f"{path}: has no {part!r}, under which its tensors should be; is it another file?")
    if not isinstance(state, dict):
        raise ConversionError(f"{path}: refused, it holds a {type(state).__name__} instead of tensors by name")
    for key, value in state.items():
        plain = isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_meta
        if not plain or not isinstance(key, str):
            raise ConversionError(f"{path}: refused, {key!r} is a {type(value).__name__}, not a plain tensor by name")
    return state


def _mapped_or_loaded(path: Path) -> dict:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        return torch.load(path, map_location="cpu", weights_only=True)  # older than torch 1.6: not a zip archive
