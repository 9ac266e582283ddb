"""`moe-eval judge calibrate`: a judge grades what the original has graded, and is compared."""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from moe_eval.chat.budget import Budget
from moe_eval.commands.judge import (
    JUDGE_CACHE,
    OPENAI,
    Asking,
    CacheOption,
    ConcurrencyOption,
    JudgeOption,
    JudgeRunsOption,
    KeyOption,
    MaxCallsOption,
    MaxTokensOption,
    TimeoutOption,
    UrlOption,
    check_references,
    judge_answers,
)
from moe_eval.commands.options import JsonOption, ProtocolOption, TaskFileOption, own_task
from moe_eval.errors import UserError
from moe_eval.files.jsonl import read_jsonl
from moe_eval.judge.calibration import Calibration, calibrate
from moe_eval.registry import find_task, only_choice
from moe_eval.scoring.answers import read_answers
from moe_eval.task import Grade, Task

__all__ = ["calibrate_judge", "describe", "judge_calibrate", "read_grades"]


def judge_calibrate(
    answers: Annotated[
        Path, typer.Argument(help="Answers that the original has graded: .jsonl with question_id, text and grades.")
    ],
    grades: Annotated[
        Path | None,
        typer.Option(
            help="Their grades, if they are elsewhere: .jsonl with question_id and grades, or MM-Vet's .json."
        ),
    ] = None,
    task: Annotated[str, typer.Option(help="A task that is graded by a judge.")] = "mmvet",
    data: Annotated[str, typer.Option(help="Questions and reference answers; see `list data`.")] = "hub",
    protocol: ProtocolOption = None,
    as_json: JsonOption = False,
    model: JudgeOption = None,
    url: UrlOption = OPENAI,
    key_variable: KeyOption = "OPENAI_API_KEY",
    runs: JudgeRunsOption = None,
    max_calls: MaxCallsOption = None,
    max_tokens: MaxTokensOption = None,
    concurrency: ConcurrencyOption = 8,
    timeout: TimeoutOption = 60.0,
    cache: CacheOption = JUDGE_CACHE,
    task_file: TaskFileOption = None,
) -> None:
    """Hold a judge against the original one, by answers whose original grades are known.

    Says how often they agree, how many points the judge is off, and whether its numbers can stand beside published
    ones.

    Example: moe-eval judge calibrate answers/llava-v1.5-13b.jsonl --grades results/llava-v1.5-13b-grade.json --model gpt-4o
    """
    own_task(task_file)
    asking = Asking(model, url, key_variable, runs, Budget(max_calls, max_tokens), concurrency, timeout, cache)
    calibrate_judge(task, answers, grades, data, protocol, asking, as_json)


def calibrate_judge(
    task_name: str, answers: Path, grades: Path | None, data: str, protocol: str | None, asking: Asking, as_json: bool
) -> None:
    """Estimate, ask, print what came out.

    Args:
        answers: texts, as `moe-eval score` reads them.
        grades: see `read_grades`; None: they are in the file of answers.
        data: where questions and reference answers come from.

    Raises:
        UserError: for a task that is not graded with numbers, files that do not fit together or lack texts or grades,
            and whatever `moe-eval judge` refuses.
    """
    task = find_task(task_name)
    protocol = protocol or only_choice(task.protocols, "llava")
    judge = task.protocol(protocol).judge
    if judge is None or judge.undecided is not None:
        raise UserError(f"judge calibrate: {task.name} under protocol {protocol} is not graded with numbers; mmvet is")
    known = read_grades(task, grades or answers)
    dataset = task.load(data)
    texts = read_answers(task, dataset, answers)
    if not any(texts.values()):
        raise UserError(
            f"{answers}: all texts are empty: grades alone cannot be judged again; name the file with the answers "
            "that were graded, and this one as --grades"
        )
    samples = [sample for sample in dataset.samples if sample.id in texts and sample.id in known]
    if not samples:
        raise UserError(f"{answers}: no answer to a question of {dataset.source} has a grade in {grades or answers}")
    check_references(task.name, dataset, samples)
    judged = judge_answers(judge, samples, texts, asking, estimate_to=sys.stderr if as_json else None)
    found = {name: _numbers(values) for name, values in judged.grades.items()}
    usable = {name: values for name, values in found.items() if values}
    if not usable:
        raise UserError(f"judge {judged.endpoint.model}: not one reply is a grade; is it the right model?")
    result = calibrate(known, usable)
    name = f"{judged.endpoint.model}, {judged.runs} run{'s' * (judged.runs != 1)}, {judged.day}"
    if as_json:
        about = {"task": task.name, "protocol": protocol, "judge": name, "data": dataset.source}
        print(json.dumps({**about, **asdict(result), "differs": result.differs}, indent=1))
    else:
        print(f"\n{task.title} graded by {name}, protocol {protocol}\n\n{describe(result, len(dataset.samples))}")


def describe(result: Calibration, questions: int) -> str:
    """The comparison in words.

    Args:
        questions: how many the benchmark has.
    """
    lines = [
        f"{result.answers:,} of {questions:,} answers",
        f"mean grade: the original {result.original:.2f}, this judge {result.judged:.2f}",
        f"equal grades: {result.exact:.1f} %; within 0.1: {result.within_tenth:.1f} %",
    ]
    if result.original_exact is not None:
        lines.append(f"equal grades between the original's own runs: {result.original_exact:.1f} %")
    lines.append(f"offset: {result.offset:+.2f} points, 95 % interval {result.low:+.2f} to {result.high:+.2f}")
    return "\n".join([*lines, "", _verdict(result)])


def _verdict(result: Calibration) -> str:
    if not result.differs:
        return (
            "No offset is seen. A number from this judge can stand beside published ones, but a difference of less than "
            f"{max(-result.low, result.high):.1f} points may be the judge's."
        )
    return (
        f"This judge grades {'lower' if result.offset < 0 else 'higher'} than the original by {abs(result.offset):.1f} "
        f"points. Its numbers do not compare with published ones: where the original gives {result.original:.1f}, it "
        f"gives {result.judged:.1f}. Compare only models that it has graded itself."
    )


def read_grades(task: Task, path: Path) -> dict[str, tuple[float, ...]]:
    """Known grades by sample id, one per run of the original judge.

    `.json` is what MM-Vet's evaluator writes, `{"v1_0": {"score": [0.0, …], …}, …}`; anything else is JSON lines with
    `question_id` and `grades`, a list of numbers from 0 to 1.

    Raises:
        UserError: naming file and row, when it is neither.
    """
    known: dict[str, tuple[float, ...]] = {}
    for where, name, values in _rows(task, path):
        if not _are_grades(values):
            raise UserError(f"{where}: grades must be a list of numbers from 0 to 1, not {values!r}")
        if name in known:
            raise UserError(f"{where}: {name} has grades already; remove one")
        known[name] = tuple(map(float, values))
    return known


def _rows(task: Task, path: Path) -> list[tuple[str, str, Any]]:
    if path.suffix != ".json":
        rows = [(f"{path} line {number}", record) for number, record in read_jsonl(path)]
        lacking = next((where for where, row in rows if not {"question_id", "grades"} <= row.keys()), None)
        if lacking:
            raise UserError(f"{lacking}: has not both, question_id and grades, such as [0.5, 1.0]")
        return [(where, task.answer_id(row), row["grades"]) for where, row in rows]
    try:
        content = json.loads(path.read_bytes())
        return [(f"{path} id {name}", str(name), entry["score"]) for name, entry in content.items()]
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f'{path}: not what MM-Vet\'s evaluator writes, {{"v1_0": {{"score": [0.0]}}}}') from error


def _are_grades(values: Any) -> bool:
    """Whether it is a list of numbers from 0 to 1, with something in it."""
    return (
        isinstance(values, list)
        and bool(values)
        and all(isinstance(value, int | float) and 0 <= value <= 1 for value in values)
    )


def _numbers(values: Sequence[Grade]) -> list[float]:
    """The grades that are numbers: "nan" is none."""
    return [value for value in values if isinstance(value, float) and not math.isnan(value)]
