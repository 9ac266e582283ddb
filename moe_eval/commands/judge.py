"""`moe-eval judge`: a language model grades the answers of a run, and the run is scored again."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TextIO

import typer
from tqdm import tqdm

from moe_eval.chat.budget import Budget, Cost
from moe_eval.chat.cache import ReplyCache
from moe_eval.chat.endpoint import Endpoint
from moe_eval.commands.options import TaskFileOption, own_task
from moe_eval.errors import UserError
from moe_eval.judge.grading import asked_by, estimate, grade_answers
from moe_eval.judge.record import JUDGE_FILE, GradedAnswer, JudgeRecord, fingerprint
from moe_eval.registry import find_task
from moe_eval.runs.lock import only_process
from moe_eval.runs.records import RunRecord, read_record, write_record
from moe_eval.runs.stored_run import recorded_data
from moe_eval.scoring.answers import read_answers
from moe_eval.scoring.score import score_answers
from moe_eval.scoring.summary import summarise
from moe_eval.task import Dataset, Grade, Judge, NoGrade, Sample

__all__ = ["Asking", "check_references", "judge", "judge_answers", "judge_run"]

OPENAI = "https://api.openai.com/v1"
JUDGE_CACHE = Path("results/judge")

JudgeOption = Annotated[str | None, typer.Option("--model", help="Name of the judge. Default: the original's.")]
UrlOption = Annotated[str, typer.Option(help="Any OpenAI-compatible endpoint.")]
KeyOption = Annotated[str, typer.Option(help="Environment variable that holds the key.")]
JudgeRunsOption = Annotated[
    int | None, typer.Option(min=1, help="Grade each answer so often. Default: as the original.")
]
MaxCallsOption = Annotated[int | None, typer.Option(min=0, help="Ask the judge at most so often.")]
MaxTokensOption = Annotated[int | None, typer.Option(min=0, help="Spend at most so many tokens, in and out.")]
ConcurrencyOption = Annotated[int, typer.Option(min=1, help="Calls at the same time.")]
TimeoutOption = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for a reply.")]
CacheOption = Annotated[Path, typer.Option(help="Folder of everything that judges have said.")]


def judge(
    run: Annotated[Path, typer.Argument(help="The folder of a run whose task needs a judge.")],
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
    """Grade a run's answers with a language model, and score the run.

    MM-Vet needs it; of MMBench it reads, where it is wanted, the answers whose letter the rules do not find. What was
    said before is not asked again.

    Example: moe-eval judge results/runs/llava-1.5-7b/mmvet --model gpt-4-0613 --runs 5
    """
    own_task(task_file)
    budget = Budget(max_calls, max_tokens)
    judge_run(run, Asking(model, url, key_variable, runs, budget, concurrency, timeout, cache))


@dataclass(frozen=True)
class Asking:
    """Who is asked, and how.

    Args:
        model: None: the one that the original uses.
        key_variable: the environment variable that holds the key.
        runs: how often each answer is graded; None: as often as the original does.
        cache: folder of everything that judges have said.
    """

    model: str | None
    url: str
    key_variable: str
    runs: int | None
    budget: Budget
    concurrency: int
    timeout: float
    cache: Path


@dataclass(frozen=True)
class Judged:
    """Grades by sample id, one per run, and who gave them when for how much."""

    grades: Mapping[str, tuple[Grade, ...]]
    endpoint: Endpoint
    runs: int
    day: str
    paid: Cost
    refused: Mapping[str, str]


def judge_run(folder: Path, asking: Asking) -> None:
    """Estimate, ask, write `judge.json` and `scores.json`, print the scores.

    Raises:
        UserError: for a run that needs no judge or cannot have one, or that another process works on, a missing key, an
            estimate above the budget, and an endpoint that does not answer.
    """
    read_record(RunRecord, folder / "run.json")  # before a lock is left in what is no run
    with only_process(folder):
        _judge_run(folder, asking)


def _judge_run(folder: Path, asking: Asking) -> None:
    run = read_record(RunRecord, folder / "run.json")
    task = find_task(run.task)
    judge = task.protocol(run.protocol).judge
    if judge is None:
        raise UserError(f"{folder}: {run.task} under protocol {run.protocol} is scored without a judge")
    path = folder / "responses.jsonl"
    dataset = recorded_data(task, path)
    assert dataset is not None  # run.json is there
    answers = read_answers(task, dataset, path)
    answered = [sample for sample in dataset.samples if sample.id in answers]
    if not answered:
        raise UserError(f"{folder}: no answers to judge; finish the run first")
    samples = answered if judge.undecided is None else judge.undecided(answered, answers)
    if not samples:
        print(f"{folder}: nothing to ask a judge: the rules decide all {len(answered):,} answers", flush=True)
        return
    check_references(task.name, dataset, samples)
    judged = judge_answers(judge, samples, answers, asking)
    first_calls = [next(judge.grade(sample, answers[sample.id])).prompt for sample in samples]
    record = JudgeRecord(
        task=task.name,
        protocol=run.protocol,
        model=judged.endpoint.model,
        url=judged.endpoint.url,
        runs=judged.runs,
        date=judged.day or None,
        prompt=first_calls[0].encode("utf-8", "backslashreplace").decode(),
        prompts=fingerprint("\0".join(first_calls)),
        calls=judged.paid.calls,
        tokens=judged.paid.tokens,
        answers={
            name: GradedAnswer(answer=fingerprint(answers[name]), grades=list(values))
            for name, values in judged.grades.items()
            if all(value == value for value in values)  # the judge said "nan", which the original takes for a grade
        },
        ungraded=[name for name, values in judged.grades.items() if any(isinstance(one, NoGrade) for one in values)],
    )
    write_record(record, folder / JUDGE_FILE)
    missing = [sample.id for sample in dataset.samples if sample.id not in answers]
    scores = score_answers(task, run.protocol, dataset, answers, missing, record)
    write_record(scores, folder / "scores.json")
    _tell_ungraded(record, judged.refused)
    paid = judged.paid
    print(f"\n{summarise(scores)}\n\n{paid.calls:,} calls, {paid.tokens:,} tokens; written to {folder}", flush=True)


def judge_answers(
    judge: Judge,
    samples: Sequence[Sample],
    answers: Mapping[str, str],
    asking: Asking,
    estimate_to: TextIO | None = None,
) -> Judged:
    """Print an estimate, ask, show progress.

    Args:
        estimate_to: None: the standard output.

    Raises:
        UserError: for a missing key, an estimate above the budget, and an endpoint that does not answer.
    """
    model, url = asking.model or judge.model, asking.url.rstrip("/")
    endpoint = Endpoint(url, model, _key(url, asking.key_variable), asking.timeout)
    replies = ReplyCache(asking.cache, endpoint, today=datetime.now(UTC).date().isoformat())
    runs = asking.runs or judge.runs
    cost = estimate(judge, samples, answers, runs, replies)
    print(
        f"judge {model} at {url}: {len(samples):,} answers, {runs} run{'s' * (runs != 1)}: at least "
        f"{cost.calls:,} calls, about {cost.tokens:,} tokens; the rest is in {replies.path}",
        file=estimate_to or sys.stdout,
        flush=True,
    )
    if excess := asking.budget.excess(cost):
        raise UserError(f"judge: {excess}, before anything was asked: allow more, or use a smaller --runs")
    with tqdm(total=len(samples) * runs, desc=f"judge {model}", unit="grade") as bar:
        judged = grade_answers(
            judge, samples, answers, runs, replies, asked_by(endpoint),
            budget=asking.budget, concurrency=asking.concurrency, on_grade=lambda: bar.update(),
        )  # fmt: skip
    return Judged(judged.grades, endpoint, runs, replies.last_day, judged.paid, judged.refused)


def _tell_ungraded(record: JudgeRecord, refused: Mapping[str, str]) -> None:
    for name, reason in refused.items():
        print(f"{name}: refused: {reason}")
    if record.ungraded:
        print(
            f"{len(record.ungraded):,} of {len(record.answers):,} answers got no grade, such as {record.ungraded[0]}: no "
            "reply was a number; they count as 0, as in the original",
            flush=True,
        )


def check_references(task: str, dataset: Dataset, samples: Sequence[Sample]) -> None:
    """The samples must have reference answers.

    Raises:
        UserError: naming one that has none.
    """
    bare = next((sample.id for sample in samples if sample.gold is None), None)
    if bare is not None:
        raise UserError(
            f"{task}: {dataset.source} has no reference answer to {bare}, and the judge needs one; "
            "run on data that have them (`moe-eval list data`)"
        )


def _key(url: str, variable: str) -> str | None:
    key = os.environ.get(variable)
    if not key and url.rstrip("/") == OPENAI:
        raise UserError(
            f"judge: {url} wants a key: put it in the environment variable {variable}, or name another --url"
        )
    return key
