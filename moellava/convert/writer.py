"""Writing a checkpoint in pieces: safetensors shards with their index, and a folder that appears whole or not at all."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from safetensors.torch import save_file

from moellava.convert.source import ConversionError

__all__ = ["ShardWriter", "whole_folder"]


class ShardWriter:
    """Collects tensors and writes a shard as soon as `max_bytes` are reached, so that no more is held in memory."""

    def __init__(self, folder: Path, max_bytes: int):
        self.folder, self.max_bytes = folder, max_bytes
        self.shards: list[list[str]] = []
        self.total_bytes = 0
        self._pending: dict[str, torch.Tensor] = {}
        self._pending_bytes = 0

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Take over one tensor; it is written sooner or later."""
        if self._pending and self._pending_bytes + tensor.nbytes > self.max_bytes:
            self._flush()
        self._pending[name] = tensor.contiguous()
        self._pending_bytes += tensor.nbytes

    def finish(self) -> None:
        """Write what is left, give the shards their final names, and write the index if there are several."""
        self._flush()
        count = len(self.shards)
        names = [f"model-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]
        if count == 1:
            names = ["model.safetensors"]
        for i, name in enumerate(names):
            self._shard_path(i).rename(self.folder / name)
        if count > 1:
            weight_map = {key: name for keys, name in zip(self.shards, names, strict=True) for key in keys}
            index = {"metadata": {"total_size": self.total_bytes}, "weight_map": weight_map}
            (self.folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True))

    def _flush(self) -> None:
        if self._pending:
            save_file(self._pending, self._shard_path(len(self.shards)), metadata={"format": "pt"})
            self.shards.append(list(self._pending))
            self.total_bytes += self._pending_bytes
            self._pending, self._pending_bytes = {}, 0

    def _shard_path(self, number: int) -> Path:
        return self.folder / f"shard-{number}.safetensors"


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out` that becomes `out` when the block ends well and vanishes when it does not.

    What a killed conversion left behind is removed by the next one; two at once are kept apart by a lock.

    Raises:
        ConversionError: `out` exists, or another process is writing it.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.parent / f".{out.name}.partial"
    lock = FileLock(out.parent / f".{out.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConversionError(f"{out}: another process is converting into it; wait for it") from None
    try:
        if out.exists():
            raise ConversionError(f"{out}: exists already; remove it or choose another OUT")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        yield partial
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
