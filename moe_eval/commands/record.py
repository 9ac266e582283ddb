"""`moe-eval record`: what a benchmark's server made of a run's answers, for the tables."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from moe_eval.commands.options import TaskFileOption, own_task
from moe_eval.errors import UserError
from moe_eval.registry import find_task
from moe_eval.runs.recorded import RECORDED_FILE, RecordedNumber, answers_fingerprint, read_recorded
from moe_eval.runs.records import RunRecord, ScoresRecord, read_record, write_record

__all__ = ["record", "record_number"]


def record(
    run: Annotated[Path, typer.Argument(help="The folder of a run whose number is pending.")],
    value: Annotated[float, typer.Argument(help="What the server says, in the headline's units.")],
    source: Annotated[str | None, typer.Option(help="Who says it. Default: the server that submit names.")] = None,
    task_file: TaskFileOption = None,
) -> None:
    """Record the number that a server gave a run's answers; tables then carry it, marked as the server's.

    Example: moe-eval record results/runs/llava-1.5-7b/vizwiz 50.0 --source "EvalAI submission 12345"
    """
    own_task(task_file)
    print(record_number(run, value, source))


def record_number(folder: Path, value: float, source: str | None) -> str:
    """Write the server's number into a run's folder; a line about it comes back.

    Args:
        folder: of a run whose headline is pending.
        value: in the units of the headline.
        source: who gave it; None: the server that `moe-eval submit` names.

    Raises:
        UserError: for a run that has a number of its own or whose task has no server, and a value that is none.
    """
    run = read_record(RunRecord, folder / "run.json")
    scores = read_record(ScoresRecord, folder / "scores.json")
    headline = scores.headline
    if headline.value is not None:
        raise UserError(
            f"{folder}: {run.task} was scored here ({headline.name} {headline.value:.2f}); "
            "only a pending number can be recorded"
        )
    if not math.isfinite(value) or ("(%)" in headline.name and not 0 <= value <= 100):
        raise UserError(f"{run.task}: {headline.name} cannot be {value:g}")
    submission = find_task(run.task).submission
    source = source or (submission.upload if submission else None)
    if source is None:
        raise UserError(f"{folder}: {run.task} has no server; say with --source who gave the number")
    before = read_recorded(folder)
    record = RecordedNumber(
        task=run.task,
        metric=headline.name,
        value=value,
        source=source,
        recorded=datetime.now(UTC).isoformat(timespec="seconds"),
        answers=answers_fingerprint(folder),
    )
    write_record(record, folder / RECORDED_FILE)
    instead = f" instead of {before.value:g}" if before else ""
    return (
        f"{run.model.name}, {run.task}: {headline.name} {value:g}{instead}, from {source}; tables carry it from now on"
    )
