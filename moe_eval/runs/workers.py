"""N shards of one command as processes on this machine, one device each; a shard that dies is started again."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from moe_eval.errors import UserError
from moe_eval.machine.resources import cores
from moe_eval.runs.shard import Shard

__all__ = ["run_workers"]

RESTARTS = 3
"""So often in a row a shard is started again without having answered anything."""
SECONDS = 0.5
"""Between two looks at the shards."""


@dataclass
class Worker:
    """The process of one shard.

    Args:
        journals: where its answers arrive, a file per model and task.
    """

    shard: Shard
    journals: Sequence[Path]
    process: subprocess.Popen
    said: IO[bytes]
    failures: int = 0
    answered_at_start: int = 0
    read: dict[Path, tuple[int, int]] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        """Lines of its journals; only what is new is read."""
        for path in self.journals:
            position, lines = self.read.get(path, (0, 0))
            size = path.stat().st_size if path.is_file() else 0
            if size < position:  # thrown away by --fresh
                position, lines = 0, 0
            if size > position:
                with path.open("rb") as stream:
                    stream.seek(position)
                    lines += stream.read(size - position).count(b"\n")
            self.read[path] = size, lines
        return sum(lines for _, lines in self.read.values())

    @property
    def last_words(self) -> str:
        """The last line that it wrote."""
        self.said.seek(0)
        lines = self.said.read().decode("utf-8", "replace").replace("\r", "\n").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def run_workers(
    words: Sequence[str],
    first_words: Sequence[str],
    count: int,
    gpus: int,
    journals: Callable[[Shard], Sequence[Path]],
    on_progress: Callable[[int], None],
) -> None:
    """Run the shards of a command, side by side, to their end.

    Args:
        words: of `moe-eval run`, without `--shard`.
        first_words: what is said only when a shard starts for the first time (`--fresh`).
        gpus: that there are; each worker sees one of them.
        journals: of a shard.
        on_progress: called with the number of all answers, now and then.

    Raises:
        UserError: with the last words of a shard that refuses its command, or dies again and again. The other shards have
            been stopped then; what was answered is kept.
    """

    def start(shard: Shard, said: IO[bytes], *more: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "moe_eval", "run", *words, *more, "--shard", str(shard), "--quiet"]
        environment = os.environ | _share(shard, gpus)
        return subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=environment)

    with _stopped_at_the_end() as workers:
        for number in range(1, count + 1):
            shard, said = Shard(number, count), TemporaryFile()  # noqa: SIM115  (closed with the worker)
            workers.append(Worker(shard, journals(shard), start(shard, said, *first_words), said))
        while any(worker.process.returncode != 0 for worker in workers):
            time.sleep(SECONDS)
            on_progress(sum(worker.answered for worker in workers))
            for worker in workers:
                code = worker.process.poll()
                if code in (None, 0):
                    continue
                _check_hope(worker, code)
                worker.process = start(worker.shard, worker.said)
        on_progress(sum(worker.answered for worker in workers))


def _check_hope(worker: Worker, code: int) -> None:
    """A process that was killed may do better next time; one that has refused its command will not."""
    answered = worker.answered
    worker.failures = 1 if answered > worker.answered_at_start else worker.failures + 1
    worker.answered_at_start = answered
    if code == 2:
        raise UserError(f"shard {worker.shard}: {worker.last_words.removeprefix('moe-eval: ')}")
    if worker.failures > RESTARTS:
        raise UserError(
            f"shard {worker.shard} ended {worker.failures} times (exit code {code}) without an answer more; its last words: "
            f"{worker.last_words}. What was answered is kept, and the same command goes on"
        )


def _share(shard: Shard, gpus: int) -> dict[str, str]:
    """One GPU of those that are visible, or an equal part of the cores."""
    if gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))
        return {"CUDA_VISIBLE_DEVICES": visible.split(",")[shard.number - 1]}
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, cores() // shard.count))}


@contextmanager
def _stopped_at_the_end() -> Iterator[list[Worker]]:
    """A list of workers, none of which outlives the block."""
    workers: list[Worker] = []
    try:
        yield workers
    finally:
        for worker in workers:
            if worker.process.poll() is None:
                worker.process.terminate()
        for worker in workers:
            worker.process.wait()
            worker.said.close()
