"""All runs below a folder, looked at again and again by two threads: one reads what is new, the other scores it."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from moe_eval.errors import UserError
from moe_eval.runs.shard import SHARDS
from moe_eval.view.followed import FollowedRun

__all__ = ["Watch"]

SECONDS = 0.5
"""Between two looks; longer where a look takes long, so that looking takes a tenth of a core at most."""


class Watch:
    """The runs in or below a folder. Inside `with`, they are followed.

    Attributes:
        runs: by name, the folder below the watched one; runs come and go.

    Raises:
        UserError: when there is no such folder.
    """

    def __init__(self, root: Path):
        if not root.is_dir():
            raise UserError(f"{root}: no such folder; start a run first (`moe-eval run`), or name a folder of runs")
        self.root = root
        self.runs: dict[str, FollowedRun] = {}
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._repeat, args=(do,)) for do in (self.look, self.score)]

    def __enter__(self) -> Self:
        self.look()  # what there is can be asked for at once
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def look(self) -> None:
        """Find the runs there are, and read what is new of each."""
        folders = {self._run_of(file.parent) for file in self.root.glob("**/run.json")}
        names = {folder.relative_to(self.root).as_posix(): folder for folder in sorted(folders)}
        runs = {name: self.runs.get(name) or FollowedRun(folder, name) for name, folder in names.items()}
        for run in runs.values():
            run.update()
        self.runs = runs

    def score(self) -> None:
        """Score what is new."""
        for run in list(self.runs.values()):
            run.score()

    def _run_of(self, folder: Path) -> Path:
        """A shard's folder is a part of its run's, unless it is the one that is watched."""
        shared = folder.parent.name == SHARDS and folder.parent.parent.is_relative_to(self.root)
        return folder.parent.parent if shared else folder

    def _repeat(self, do: Callable[[], None]) -> None:
        while not self._stopped.is_set():
            start = time.monotonic()
            with suppress(OSError):  # a folder that goes away while it is looked at
                do()
            self._stopped.wait(max(SECONDS, 9 * (time.monotonic() - start)))
