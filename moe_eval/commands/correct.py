"""`moe-eval judge correct`: a run's score by a judge, corrected by the gold grades of a few of its answers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from moe_eval.commands.calibrate import read_grades
from moe_eval.commands.options import JsonOption, TaskFileOption, own_task
from moe_eval.errors import UserError
from moe_eval.files.jsonl import read_jsonl
from moe_eval.judge.correction import Corrected, correct
from moe_eval.registry import find_task
from moe_eval.runs.stored_run import StoredRun
from moe_eval.task import SampleScore, TaskProtocol, worth

__all__ = ["correct_run", "judge_correct"]


def judge_correct(
    run: Annotated[Path, typer.Argument(help="The folder of a run that a judge has graded.")],
    gold: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Grades to trust, of a random sample of its answers: .jsonl with question_id and grades (numbers, or letters "
            "where the judge reads letters), or MM-Vet's .json.",
        ),
    ],
    as_json: JsonOption = False,
    task_file: TaskFileOption = None,
) -> None:
    """Correct a judge's score by a few gold grades: few answers graded by people, all by the judge, one valid interval.

    Example: moe-eval judge correct results/runs/llava-1.5-7b/mmvet --gold grades.jsonl
    """
    own_task(task_file)
    stored = StoredRun.read(run)
    result = correct_run(stored, gold)
    if as_json:
        about = {"task": stored.run.task, "protocol": stored.run.protocol, "judge": stored.scores.judge}
        print(json.dumps({**about, **asdict(result)}, indent=1))
    else:
        print(
            f"{stored.run.task} graded by {stored.scores.judge or 'a judge that reads letters'}\n\n{describe(result)}"
        )


def correct_run(stored: StoredRun, gold: Path) -> Corrected:
    """The run's headline, corrected.

    Raises:
        UserError: for a task that no judge grades, answers that are not graded, and a file with no or too few gold grades.
    """
    task, protocol = find_task(stored.run.task), stored.protocol
    if protocol.judge is None:
        raise UserError(f"{stored.folder}: {task.name} under protocol {stored.run.protocol} is not graded by a judge")
    if protocol.judge.undecided is None:
        if not stored.scores.judge:
            raise UserError(f"{stored.folder}: {task.name} was graded by its rules, not by a judge: nothing to correct")
        judged = {str(entry["id"]): worth(entry) for entry in stored.scores.samples}
        known = {name: sum(grades) / len(grades) for name, grades in read_grades(task, gold).items()}
    else:
        judged, known = _of_letters(protocol, stored.scores.samples, _letters(gold))
    if known and not judged.keys() & known.keys():
        raise UserError(f"{gold}: none of its {len(known)} ids is one of {stored.folder}, such as {next(iter(known))}")
    graded = {name: value for name, value in judged.items() if value is not None}
    if len(graded) < len(judged):
        raise UserError(
            f"{stored.folder}: {len(judged) - len(graded)} answers have no grade; run `moe-eval judge` first"
        )
    try:
        return correct(graded, known)
    except ValueError as error:
        raise UserError(f"{gold}: {error}") from error


def _of_letters(
    protocol: TaskProtocol, entries: Sequence[SampleScore], letters: Mapping[str, str]
) -> tuple[dict[str, float | None], dict[str, float]]:
    """What each group of answers is worth as the judge read them, and as the gold letters do where any of it has one."""
    groups: dict[str, list[SampleScore]] = {}
    for entry in entries:
        groups.setdefault(str(entry["group"]), []).append(entry)
    judged = {name: _headline(protocol, members) for name, members in groups.items()}
    known = {}
    for name, members in groups.items():
        if any(str(entry["id"]) in letters for entry in members):
            read = [_as_read(entry, letters.get(str(entry["id"]))) for entry in members]
            known[name] = _headline(protocol, read) or 0.0
    return judged, known


def _as_read(entry: SampleScore, letter: str | None) -> SampleScore:
    return entry if letter is None else {**entry, "prediction": letter, "correct": int(letter == entry.get("gold"))}


def _headline(protocol: TaskProtocol, entries: Sequence[SampleScore]) -> float | None:
    value = protocol.aggregate(entries).headline
    return None if value is None else value / protocol.maximum


def _letters(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, row in read_jsonl(path):
        values: Any = row.get("grades")
        if "question_id" not in row or not isinstance(values, list) or not values or not isinstance(values[0], str):
            raise UserError(f'{path} line {number}: needs question_id and grades, a list with a letter, such as ["A"]')
        found[str(row["question_id"])] = values[0]
    return found


def describe(result: Corrected) -> str:
    """The correction in words."""
    return "\n".join(
        [
            f"corrected:         {result.value:.2f} [{result.low:.1f}, {result.high:.1f}]",
            f"by the judge:      {result.judged:.2f}, {result.answers:,} answers",
            f"by gold alone:     {result.gold:.2f} [{result.gold_low:.1f}, {result.gold_high:.1f}], {result.graded:,} answers",
            f"weight of the judge's grades: {result.weight:.2f}",
            "",
            "The interval holds if the answers with gold grades are a random sample, however wrong the judge is.",
        ]
    )
