"""`moe-eval submit`: the file that a benchmark's server accepts, and where it goes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from moe_eval.commands.options import TaskFileOption, own_task
from moe_eval.engine.ablation import OTHER_ORDER
from moe_eval.errors import UserError
from moe_eval.files.atomic import write_atomically
from moe_eval.registry import all_tasks, find_task
from moe_eval.runs.records import RunRecord, read_record
from moe_eval.runs.stored_run import recorded_data
from moe_eval.scoring.answers import check_complete, read_answers
from moe_eval.task import Dataset, Submission, Task

__all__ = ["submit", "submit_run"]


def submit(
    run: Annotated[Path, typer.Argument(help="The folder of a run on a split whose answers a server has.")],
    data: Annotated[
        str | None, typer.Option(help="All that the server wants answered, where that is more than the run's data.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write. Default: in the run's folder.")] = None,
    task_file: TaskFileOption = None,
) -> None:
    """Write the file that a benchmark's server accepts, checked, and say where to upload it.

    Example: moe-eval submit results/runs/llava-1.5-7b/vizwiz
    """
    own_task(task_file)
    print(submit_run(run, data, out))


def submit_run(folder: Path, data: str | None, out: Path | None) -> str:
    """Write the upload of a run; what it is and where to upload it comes back.

    Args:
        data: the whole split, where the server wants more than was run (VQAv2: all of test2015).

    Raises:
        UserError: for a task without server, an unfinished run, answers that do not belong to the data, and data that are
            not what the server wants.
    """
    run = read_record(RunRecord, folder / "run.json")
    task = find_task(run.task)
    submission = task.submission
    if submission is None:
        with_server = ", ".join(one.name for one in all_tasks() if one.submission)
        raise UserError(f"{folder}: {task.name} has no server to submit to; these have: {with_server}")
    if run.ablation == OTHER_ORDER:
        raise UserError(f"{folder}: its options were asked in another order ({OTHER_ORDER}); submit a run without it")
    path = folder / "responses.jsonl"
    asked = recorded_data(task, path)
    assert asked is not None  # run.json is there
    answers = read_answers(task, asked, path)
    check_complete(task, asked, answers, path)
    if not any(answers.values()):
        raise UserError(f"{path}: all {len(answers):,} answers are empty, as in imported grades; nothing to submit")
    wanted = task.load(data) if data else asked
    _check_split(task, submission, wanted, answers)
    file = out or folder / submission.filename
    write_atomically(file, submission.write(wanted, answers))
    lines = [
        f"{file}: {len(wanted.samples):,} rows, {len(answers):,} of them answered by {run.model.name}",
        f"data: {wanted.version}",
        f"upload it to {submission.upload}",
    ]
    return "\n".join(lines)


def _check_split(task: Task, submission: Submission, wanted: Dataset, answers: Mapping[str, str]) -> None:
    """The file must hold the questions that the server has, and an answer to each where the format demands it."""
    known = {sample.id for sample in wanted.samples}
    unwanted = sorted(answers.keys() - known)
    if unwanted:
        raise UserError(
            f"{task.name}: {len(unwanted):,} answered questions, such as {unwanted[0]}, are not in {wanted.source}; "
            "the server would refuse them: name the whole split with --data"
        )
    if submission.rows not in (None, len(known)):
        raise UserError(
            f"{task.name}: the server wants {submission.rows:,} questions and refuses fewer; {wanted.source} has "
            f"{len(known):,}: name the whole split with --data"
        )
    missing = [sample.id for sample in wanted.samples if sample.id not in answers]
    if missing and not submission.may_leave_out:
        raise UserError(
            f"{task.name}: {len(missing):,} questions of {wanted.source} have no answer, such as {missing[0]}; "
            "the server wants all: run on the whole split"
        )
