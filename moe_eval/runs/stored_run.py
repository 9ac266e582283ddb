"""Finished runs on disk, plain or gzipped: what `compare` and `check` read.

A baseline that is kept in a repository needs `run.json`, `scores.json` and `responses.jsonl`; the last two may be gzipped.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from moe_eval.errors import UserError
from moe_eval.registry import find_task
from moe_eval.runs.asked import as_asked
from moe_eval.runs.journal import answer_lines
from moe_eval.runs.records import RunRecord, ScoresRecord, read_record
from moe_eval.task import Dataset, Sample, Task, TaskProtocol

__all__ = ["StoredRun", "find_stored_runs", "plain_or_gzipped", "recorded_data"]


@dataclass(frozen=True)
class StoredRun:
    """A run with scores."""

    folder: Path
    run: RunRecord
    scores: ScoresRecord

    @classmethod
    def read(cls, folder: Path) -> "StoredRun":
        """The run in a folder.

        Raises:
            UserError: when a file is missing, broken or was changed, or when they are of different runs.
        """
        run = read_record(RunRecord, folder / "run.json")
        scores = read_record(ScoresRecord, plain_or_gzipped(folder / "scores.json"))
        if (run.task, run.protocol, run.data.fingerprint) != (scores.task, scores.protocol, scores.data.fingerprint):
            raise UserError(f"{folder}: scores.json is not of the run that run.json describes; score the answers again")
        return cls(folder, run, scores)

    @property
    def protocol(self) -> TaskProtocol:
        """What it was asked and scored by.

        Raises:
            UserError: when the task is not installed, or has no such protocol any more.
        """
        return find_task(self.run.task).protocol(self.run.protocol)

    @cached_property
    def answers(self) -> dict[str, str]:
        """Answer text by sample id; nothing where the folder does not hold it."""
        path = plain_or_gzipped(self.folder / "responses.jsonl")
        if not path.is_file():
            return {}
        return {line["id"]: line["response"] for _, line in answer_lines(path)}

    @cached_property
    def samples(self) -> dict[str, Sample]:
        """What was asked, by id.

        Raises:
            UserError: when the data are not on this machine any more, or have changed.
        """
        dataset = recorded_data(find_task(self.run.task), self.folder / "responses.jsonl")
        return {sample.id: sample for sample in dataset.samples} if dataset else {}

    def known_samples(self) -> tuple[dict[str, Sample], str]:
        """What was asked, by id, or nothing and why that is not at hand."""
        try:
            return self.samples, ""
        except UserError as error:
            return {}, str(error)


def find_stored_runs(path: Path, leave_out: Callable[[UserError], None] | None = None) -> dict[str, StoredRun]:
    """The runs in or below a folder, by task.

    Args:
        leave_out: is told of a run that cannot be read, which the others then do without; None: that is an error.

    Raises:
        UserError: when there is none, or there are several of one task.
    """
    folders = sorted({file.parent for name in ("scores.json", "scores.json.gz") for file in path.glob(f"**/{name}")})
    if not folders:
        raise UserError(f"{path}: no finished run in it (no scores.json); start one with `moe-eval run`")
    found: dict[str, StoredRun] = {}
    for folder in folders:
        try:
            stored = StoredRun.read(folder)
        except UserError as error:
            if leave_out is None or len(folders) == 1:
                raise
            leave_out(error)
            continue
        if stored.run.task in found:
            raise UserError(
                f"{path} holds several runs of {stored.run.task} ({found[stored.run.task].folder} and {folder}); "
                "name the folder of one run, or of one model"
            )
        found[stored.run.task] = stored
    return found


def recorded_data(task: Task, path: Path) -> Dataset | None:
    """What the run beside whose `run.json` the answers lie was asked; None where there is none.

    Raises:
        UserError: when the data cannot be had, or no longer are what they were.
    """
    file = path.parent / "run.json"
    if not file.is_file():
        return None
    run = read_record(RunRecord, file)
    recorded = run.data
    if run.generation and run.generation.samples:
        raise UserError(
            f"{path.parent}: {run.generation.samples} answers to each question were drawn, and its scores.json has their means; "
            "to do more with answers, make a run with one to each (without --temperature)"
        )
    dataset = recorded.samples_of(task.load(recorded.source))
    if dataset.fingerprint != recorded.fingerprint:
        raise UserError(
            f"{file}: {recorded.source} no longer holds the questions that were asked; say which with --data"
        )
    return as_asked(task, dataset, run.ablation)


def plain_or_gzipped(path: Path) -> Path:
    """The file, or its gzipped form where only that is there."""
    gzipped = path.with_name(f"{path.name}.gz")
    return gzipped if gzipped.is_file() and not path.is_file() else path
