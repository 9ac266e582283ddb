"""Folders that are there whole or not at all: checkpoints to go on from, and the finished stage."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from moellava.convert.writer import ShardWriter
from moellava.training.errors import TrainingError

__all__ = ["disk_errors", "newest_checkpoint", "publish", "staging", "write_text", "write_weights"]

SHARD_BYTES = 4 << 30


def newest_checkpoint(output: Path) -> Path | None:
    """The checkpoint with the most steps. Folders of that name are complete: they are renamed when all is written."""
    found = [(int(match[1]), path) for path in output.glob("checkpoint-*") if (match := _NUMBERED.fullmatch(path.name))]
    return max(found)[1] if found else None


_NUMBERED = re.compile(r"checkpoint-(\d+)")


def staging(output: Path) -> Path:
    """Where a folder is written before it gets its name; what a killed run left there is worth nothing."""
    return output / ".partial"


def publish(folder: Path, target: Path) -> None:
    """Give a folder that is completely written, safely on disk, its name."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    if target.exists():
        shutil.rmtree(target)
    folder.rename(target)


@contextmanager
def disk_errors(output: Path, target: Path) -> Iterator[None]:
    """A write that fails is one clear line; what was half written is removed, and the last good checkpoint stays.

    torch and safetensors report a full disk in their own ways, so that all of them are caught.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        shutil.rmtree(staging(output), ignore_errors=True)
        good = newest_checkpoint(output)
        kept = f"{good.name} is kept, and the same command goes on from it" if good else "nothing was saved before"
        raise TrainingError(
            f"{target}: cannot be written ({' '.join(str(error).split())[:160]}); free some space: {kept}"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Replace a small file in one step."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def write_weights(folder: Path, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Tensors as safetensors, in shards where they are many."""
    writer = ShardWriter(folder, SHARD_BYTES)
    for name, tensor in tensors:
        writer.add(name, tensor)
    writer.finish()
