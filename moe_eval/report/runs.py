"""Run folders as the report needs them: records, answers, scores under every protocol, and what a reader must know."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from moe_eval.errors import UserError
from moe_eval.report.data import DataLoader, Scored, find_data, rescore
from moe_eval.report.notes import run_notes
from moe_eval.runs.asked import load_asked
from moe_eval.runs.journal import answer_lines
from moe_eval.runs.recorded import RecordedNumber, read_recorded
from moe_eval.runs.records import RunRecord, ScoresRecord, read_record
from moe_eval.runs.shard import SHARDS
from moe_eval.scoring.headlines import headline_name
from moe_eval.task import Dataset, worth

__all__ = ["LeftOut", "ReportRun", "find_run_folders", "read_run", "read_runs"]


@dataclass(frozen=True)
class LeftOut:
    """A run that the report can only name, and why."""

    folder: Path
    reason: str


@dataclass(frozen=True)
class ReportRun:
    """One finished run.

    Args:
        folder: where it is.
        run, scores: its records.
        answers: answer text by sample id.
        title: what the task is called in tables; its name where the task is not installed.
        dataset: what was asked; None where it cannot be loaded any more.
        recorded: the number that a server gave, if any.
        by_protocol: what the answers are worth under the run's own protocol and under the task's other ones.
        notes: what a reader must know, one sentence each.
    """

    folder: Path
    run: RunRecord
    scores: ScoresRecord
    answers: Mapping[str, str]
    by_protocol: Mapping[str, Scored]
    title: str
    dataset: Dataset | None = None
    recorded: RecordedNumber | None = None
    notes: tuple[str, ...] = ()


def find_run_folders(paths: Iterable[Path]) -> list[Path]:
    """Folders with a `run.json` in or below the given ones, finished or not.

    Raises:
        UserError: when there is none in one of them.
    """
    found: list[Path] = []
    for path in paths:
        folders = sorted(file.parent for file in path.glob("**/run.json") if file.parent.parent.name != SHARDS)
        if not folders:
            raise UserError(f"{path}: no run in it (no run.json); start one with `moe-eval run`")
        found += folders
    return list(dict.fromkeys(found))


def read_runs(folders: Iterable[Path]) -> tuple[list[ReportRun], list[LeftOut]]:
    """The finished runs, and those that are unfinished or damaged.

    Raises:
        UserError: when not one can be shown.
    """
    load = cache(load_asked)  # runs of several models were asked the same
    runs: list[ReportRun] = []
    left_out: list[LeftOut] = []
    for folder in folders:
        try:
            runs.append(read_run(folder, load))
        except UserError as error:
            left_out.append(LeftOut(folder, str(error)))
    if not runs:
        first = left_out[0].reason if left_out else "no folders were given"
        raise UserError(f"nothing to report: not one of {len(left_out)} runs can be shown, the first because {first}")
    return runs, left_out


def read_run(folder: Path, load: DataLoader = load_asked) -> ReportRun:
    """One run with everything that its folder and its data still tell.

    Raises:
        UserError: when it is not finished, or a file of it is damaged.
    """
    run = read_record(RunRecord, folder / "run.json")
    answers = _read_answers(folder / "responses.jsonl")
    if not (folder / "scores.json").is_file():
        raise UserError(
            f"{folder}: not finished, {len(answers):,} of {run.data.samples:,} questions are answered; "
            "the command that started it goes on with it"
        )
    scores = read_record(ScoresRecord, folder / "scores.json")
    found = find_data(run, load)
    own = _scored(scores)
    rescored, doubts = rescore(folder, run, found, answers, own.worths)
    recorded = read_recorded(folder)
    return ReportRun(
        folder=folder,
        run=run,
        scores=scores,
        answers=answers,
        by_protocol={run.protocol: own, **rescored},
        title=found.task.title if found.task else run.task,
        dataset=found.dataset,
        recorded=recorded,
        notes=(*run_notes(run, scores, recorded), *found.notes, *doubts),
    )


def _scored(scores: ScoresRecord) -> Scored:
    worths = {str(entry["id"]): worth(entry) for entry in scores.samples}
    return Scored(headline_name(scores), scores.headline.value, worths)


def _read_answers(path: Path) -> dict[str, str]:
    """Imported answers have no token counts, so only what all journals have is read."""
    if not path.is_file():
        return {}
    return {record["id"]: record["response"] for _, record in answer_lines(path)}
