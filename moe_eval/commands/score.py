"""`moe-eval score`: stored answers in, scores out; nothing is written unless told to."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from moe_eval.commands.options import TaskFileOption, own_task
from moe_eval.errors import UserError
from moe_eval.judge.record import read_judge
from moe_eval.registry import find_task, only_choice
from moe_eval.runs.asked import as_asked
from moe_eval.runs.lock import only_process
from moe_eval.runs.records import RunRecord, ScoresRecord, read_record, write_record
from moe_eval.runs.stored_run import recorded_data
from moe_eval.scoring.answers import check_complete, log_probabilities_of, read_stored_answers, texts_of
from moe_eval.scoring.disagreement import as_data, find_disagreements, render_comparison
from moe_eval.scoring.score import score_answers
from moe_eval.scoring.summary import summarise
from moe_eval.task import Dataset, Task

__all__ = ["score", "score_file"]


def score(
    task: Annotated[str, typer.Argument(help="A name of `list tasks`.")],
    answers: Annotated[
        Path,
        typer.Argument(help="A run folder, or a file of answers: ours, LLaVA's, lmms-eval's (.jsonl, .jsonl.gz)."),
    ],
    data: Annotated[
        str | None,
        typer.Option(help="What was asked. Default: the run's own data, or the task's official ones."),
    ] = None,
    task_file: TaskFileOption = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="How answers are scored; `all`: every way to read text, and where they disagree. "
            "Default: llava, or the only one."
        ),
    ] = None,
    allow_missing: Annotated[bool, typer.Option(help="Leave out questions that have no answer.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what scores.json would hold.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Replace the scores.json of a run.")] = False,
) -> None:
    """Score stored answers.

    Example: moe-eval score pope tests/data/llava15_13b/pope.jsonl.gz --protocol all
    """
    own_task(task_file)
    print(score_file(task, answers, data, protocol, allow_missing, as_json, write))


EVERY_PROTOCOL = "all"


def score_file(
    task_name: str,
    answers: Path,
    data: str | None,
    protocol: str | None,
    allow_missing: bool,
    as_json: bool,
    write: bool = False,
) -> str:
    """The scores of a file of answers, as text or as JSON.

    Args:
        answers: a run folder, its `responses.jsonl`, or a LLaVA answers file.
        protocol: one of the task's, or `all`: each of them, and where they disagree; None: `llava`, or the only one.
        data: what was asked; None: the run's own data if `run.json` lies beside, else the task's first source.
        write: put the scores into the run's folder, instead of those that are there.

    Raises:
        UserError: for an unknown task, source or protocol, for answers that do not fit the data, and for scores that are
            to be written but are not those of the run.
    """
    task = find_task(task_name)
    protocol = protocol or only_choice(task.protocols, "llava")
    protocols = list(task.text_protocols) if protocol == EVERY_PROTOCOL else [protocol]
    for name in protocols:
        task.protocol(name)
    path = answers / "responses.jsonl" if answers.is_dir() else answers
    dataset = _named_data(task, path, data) if data else recorded_data(task, path) or _default_data(task, path)
    stored = read_stored_answers(task, dataset, [path])
    texts, measured = texts_of(stored), log_probabilities_of(stored)
    if not allow_missing:
        check_complete(task, dataset, texts, path)
    missing = [sample.id for sample in dataset.samples if sample.id not in texts]
    scores = {
        name: score_answers(
            task,
            name,
            dataset,
            texts,
            missing,
            read_judge(path.parent, name),
            intervals=as_json or len(protocols) == 1,
            log_probabilities=measured,
        )
        for name in protocols
    }
    if write:
        _write(scores, path.parent)
    if protocol == EVERY_PROTOCOL:
        kinds = find_disagreements(dataset.samples, texts, scores)
        return json.dumps(as_data(scores, kinds), indent=1) if as_json else render_comparison(scores, kinds)
    return scores[protocol].model_dump_json(indent=1) if as_json else summarise(scores[protocol])


def _write(scores: Mapping[str, ScoresRecord], folder: Path) -> None:
    """Replace the run's own scores, and nothing else."""
    run = read_record(RunRecord, folder / "run.json")
    record = scores.get(run.protocol)
    if record is None or record.task != run.task or record.data.fingerprint != run.data.fingerprint:
        raise UserError(
            f"{folder} is a run of {run.task} under protocol {run.protocol} on {run.data.source}, and --write keeps it "
            "that: name this task and protocol, and leave out --data"
        )
    with only_process(folder):
        write_record(record, folder / "scores.json")


def _named_data(task: Task, path: Path, data: str) -> Dataset:
    """As the questions were put, if the answers are a run's that says so."""
    record = path.parent / "run.json"
    return as_asked(task, task.load(data), read_record(RunRecord, record).ablation if record.is_file() else None)


def _default_data(task: Task, path: Path) -> Dataset:
    """The task's first source; `answers` is the file of answers itself, with its gold in it."""
    first = next(iter(task.sources))
    return task.load(f"answers:{path}" if first == "answers" else first)
