"""The folders that make up a run: its own, or those of its shards, each with a `run.json` and a journal."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moe_eval.runs.records import RunRecord, ShardRecord, read_record
from moe_eval.view.tail import JournalTail

__all__ = ["Part", "lines_of", "written"]


@dataclass
class Part:
    """A folder with a `run.json` and a journal: a run, or one shard of it."""

    folder: Path
    tail: JournalTail = field(init=False)
    run: RunRecord | None = None
    _written: float = 0.0

    def __post_init__(self) -> None:
        self.tail = JournalTail(self.folder / "responses.jsonl")

    def read_record(self) -> RunRecord:
        """Its `run.json`, read again where it was written again.

        Raises:
            UserError: when it is damaged.
        """
        changed = written(self.folder / "run.json")
        if self.run is None or changed != self._written:
            self.run, self._written = read_record(RunRecord, self.folder / "run.json"), changed
        return self.run

    @property
    def last_sign(self) -> float:
        """When it last wrote something, in seconds since 1970."""
        return max(written(self.folder / "run.json"), written(self.tail.path))

    @property
    def ended(self) -> bool:
        """Whether its last process came to an end by itself; one that was killed could not say so."""
        return self.run is not None and (not self.run.sessions or self.run.sessions[-1].seconds is not None)

    def as_shard(self, shard: ShardRecord) -> dict[str, int]:
        """What the page shows of it, as the share that it is."""
        assert self.run is not None  # it has said which share it is
        asked = self.run.data.samples
        return {"number": shard.number, "of": shard.count, "answered": len(self.tail.answers), "asked": asked}


def lines_of(parts: Sequence[Part]) -> dict[str, dict[str, Any]]:
    """The lines of all journals by id, the newest of several last."""
    if len(parts) == 1:
        return dict(parts[0].tail.answers)
    by_age = sorted(parts, key=lambda part: part.last_sign)  # the newest answers are the last
    return {key: line for part in by_age for key, line in part.tail.answers.items()}


def written(path: Path) -> float:
    """When a file was last written; 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
