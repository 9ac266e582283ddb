"""Writing a checkpoint in pieces: safetensors shards with their index, in a folder that appears whole or not at all."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import save_file

from moellava.convert.source import ConversionError

__all__ = ["ShardWriter", "check_free", "whole_folder"]


class ShardWriter:
    """Collects tensors and writes a shard as soon as `max_bytes` are reached, so that no more is held in memory."""

    def __init__(self, folder: Path, max_bytes: int):
        self.folder, self.max_bytes = folder, max_bytes
        self._shards: list[tuple[Path, list[str]]] = []
        self._pending: dict[str, torch.Tensor] = {}
        self._pending_bytes = self._total_bytes = 0

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Take over one tensor; it is written sooner or later."""
        if self._pending and self._pending_bytes + tensor.nbytes > self.max_bytes:
            self._flush()
        self._pending[name] = tensor.contiguous()
        self._pending_bytes += tensor.nbytes

    def finish(self) -> None:
        """Write what is left, give the shards their final names, and write the index if there are several."""
        self._flush()
        count = len(self._shards)
        weight_map: dict[str, str] = {}
        for number, (path, keys) in enumerate(self._shards, start=1):
            name = f"model-{number:05d}-of-{count:05d}.safetensors" if count > 1 else "model.safetensors"
            path.rename(self.folder / name)
            weight_map |= dict.fromkeys(keys, name)
        if count > 1:
            index = {"metadata": {"total_size": self._total_bytes}, "weight_map": weight_map}
            (self.folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))

    def _flush(self) -> None:
        path = self.folder / f"shard-{len(self._shards)}.partial"
        save_file(self._pending, path, metadata={"format": "pt"})
        self._shards.append((path, list(self._pending)))
        self._total_bytes += self._pending_bytes
        self._pending, self._pending_bytes = {}, 0


def check_free(out: Path) -> None:
    """ConversionError if there is something at `out`."""
    if out.exists():
        raise ConversionError(f"{out}: exists already; remove it or choose another OUT")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out` that becomes `out` when the block ends well and vanishes when it does not.

    What a killed conversion left behind is removed by the next one; two at once are kept apart by a lock.

    Raises:
        ConversionError: `out` exists, another process is writing it, or the disk is full.
    """
    check_free(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.parent / f".{out.name}.partial"
    lock = FileLock(out.parent / f".{out.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConversionError(f"{out}: another process is converting into it; wait for it") from None
    try:
        check_free(out)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        yield partial
        partial.rename(out)
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConversionError(f"{out}: cannot be written ({reason}); is there enough space?") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
