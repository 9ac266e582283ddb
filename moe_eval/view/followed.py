"""One run, followed from its files: what it was asked, how far it is, what its answers are worth so far."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError, one_line
from moe_eval.judge.record import read_judge
from moe_eval.registry import find_task, task_title
from moe_eval.runs.asked import load_asked
from moe_eval.runs.records import RunRecord, ScoresRecord, read_record
from moe_eval.runs.shard import SHARDS
from moe_eval.scoring.headlines import headline_maximum, headline_name
from moe_eval.scoring.summary import headline_text, interval_text
from moe_eval.task import Sample
from moe_eval.view.pace import Pace
from moe_eval.view.part import Part, lines_of, written
from moe_eval.view.so_far import asked_of, newest_answers, samples_by_answer, score_so_far

__all__ = ["FollowedRun"]

SILENT_SECONDS = 30.0
"""So long without an answer, or five times as long as answers take, and the page says so: killed, or slow."""

_load_asked = lru_cache(maxsize=32)(load_asked)  # runs of several models are asked the same

SHARE_FOR_SCORING = 0.1
"""Of one core, at most, so that looking at a run does not slow it down."""


class FollowedRun:
    """A run as it goes. `update` and `score` may be called from two threads.

    Args:
        name: of the folder, below the one that is watched.

    Attributes:
        snapshot: what the page shows, as JSON.
        version: a number that grows whenever the snapshot becomes another.
    """

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name
        self.snapshot: dict[str, Any] = {}
        self.version = 0
        self._parts: dict[Path, Part] = {}
        self._pace = Pace()
        self._samples: Mapping[str, Sample] = {}
        self._scores: ScoresRecord | None = None
        self._stored: ScoresRecord | None = None
        self._stored_written = 0.0
        self._finished: ScoresRecord | None = None
        self._scored = (0, 0.0)
        self._next_scoring = 0.0
        self._note = ""

    def update(self) -> None:
        """Read what is new and make the snapshot of it; what is damaged is told in it."""
        try:
            snapshot = self._read()
        except Exception as error:  # of a task of somebody else, too: the others are followed all the same
            model, _, task = self.name.rpartition("/")
            known = self.snapshot or {"model": model, "task": task, "title": task_title(task), "set": task}
            snapshot = {**known, "name": self.name, "state": "broken", "note": one_line(error)}
        if snapshot != self.snapshot:
            self.snapshot, self.version = snapshot, self.version + 1

    def score(self) -> None:
        """Score what is new, if that is due and the run is not finished: takes longer, and loads the data."""
        parts = [part for part in self._parts.values() if part.run]
        lines = lines_of(parts)
        done = len(lines), max((part.last_sign for part in parts), default=0.0)
        if self._finished or not lines or done == self._scored or time.monotonic() < self._next_scoring:
            return
        start, run = time.monotonic(), parts[0].run
        assert run is not None
        try:
            dataset = _load_asked(run.task, asked_of(run), run.ablation)
            self._samples = samples_by_answer(run, dataset)
            self._scores = score_so_far(run, dataset, lines, read_judge(self.folder, run.protocol))
            self._note = ""
        except Exception as error:  # see `update`
            self._note = f"not scored: {one_line(error)}"
        self._scored = done
        self._next_scoring = time.monotonic() + (time.monotonic() - start) / SHARE_FOR_SCORING

    def find_sample(self, key: str) -> Sample | None:
        """The question that an answer's id is about, if the data have been loaded."""
        return self._samples.get(key)

    @property
    def finished(self) -> bool:
        """Whether it has the scores of all its questions."""
        return self._finished is not None

    def _read(self) -> dict[str, Any]:
        alone = (self.folder / "run.json").is_file()
        folders = [self.folder] if alone else sorted(path.parent for path in self.folder.glob(f"{SHARDS}/*/run.json"))
        self._parts = {folder: self._parts.get(folder) or Part(folder) for folder in folders}
        parts = list(self._parts.values())
        records = [part.read_record() for part in parts]
        if not records:
            raise UserError(f"{self.folder}: no run in it any more")
        run = records[0]
        self._read_scores(run)
        asked = asked_of(run).samples * ((run.generation and run.generation.samples) or 1)
        if not self._finished:  # the journals of all that is finished would fill the memory
            for part in parts:
                part.tail.read()
        lines = lines_of(parts)
        answered = len(self._finished.samples) if self._finished else len(lines)
        self._pace.note(time.monotonic(), answered)
        state = self._state(parts, answered, asked)
        if state != "running":
            self._pace.pause()
        rate = self._pace.per_second
        return {
            "name": self.name,
            "model": run.model.name,
            "task": run.task,
            "title": task_title(run.task),
            "set": f"{run.task} {asked_of(run).fingerprint}",
            "data": asked_of(run).version,
            "about": _about(run),
            "state": state,
            "note": self._note,
            "answered": answered,
            "asked": asked,
            "rate": rate,
            "left": (asked - answered) / rate if rate else None,
            "since": max(part.last_sign for part in parts),
            "sessions": max(len(record.sessions) for record in records),
            "shards": [
                part.as_shard(record.shard) for part, record in zip(parts, records, strict=True) if record.shard
            ],
            "score": _score(run, self._finished or self._scores),
            "until": _until(run),
            "newest": [] if self._finished else newest_answers(run, self._samples, lines),
        }

    def _read_scores(self, run: RunRecord) -> None:
        """Those of the finished run; scores of fewer questions, from before it was asked more, are not."""
        path = self.folder / "scores.json"
        changed = written(path)
        if changed != self._stored_written:
            self._stored = read_record(ScoresRecord, path) if changed else None
            self._stored_written = changed
        scores = self._stored
        same = scores and scores.data.fingerprint == run.data.fingerprint and scores.protocol == run.protocol
        self._finished = scores if same and not run.shard else None

    def _state(self, parts: Sequence[Part], answered: int, asked: int) -> str:
        if self._finished:
            return "finished"
        if all(part.ended for part in parts):
            return "answered" if answered >= asked else "stopped"
        rate = self._pace.per_second
        patience = max(SILENT_SECONDS, 5 / rate if rate else 0.0)
        return "running" if time.time() - max(part.last_sign for part in parts) < patience else "silent"


def _until(run: RunRecord) -> dict[str, Any] | None:
    """By what rule asking may stop, and after how many questions at the latest."""
    stopping = asked_of(run).stopping
    return {"rule": stopping.rule, "of": stopping.of} if stopping else None


def _score(run: RunRecord, scores: ScoresRecord | None) -> dict[str, Any] | None:
    if scores is None:
        return None
    interval = scores.intervals.get("headline")
    try:
        most = headline_maximum(scores) or find_task(run.task).protocol(run.protocol).maximum
    except UserError:
        most = 100.0
    return {
        "metric": headline_name(scores),
        "value": scores.headline.value,
        "text": headline_text(scores),
        "interval": interval_text(interval).strip(),
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "most": most,
        "questions": len(scores.samples),
    }


def _about(run: RunRecord) -> str:
    """What tells this run from others of its model."""
    facts = [run.protocol, run.model.backend, run.model.dtype]
    if run.generation:
        facts += [fact for fact in (run.generation.ablation, run.generation.drawn) if fact]
    if run.sessions:
        facts.append(f"since {datetime.fromisoformat(run.sessions[-1].started):%Y-%m-%d %H:%M} UTC")
    return ", ".join(facts)
