"""`moe-eval judge`: a language model grades the answers of a run, and the run is scored again."""

import math
import os
from pathlib import Path

from tqdm import tqdm

from moe_eval.answers import read_answers
from moe_eval.commands.score import recorded_data
from moe_eval.errors import UserError
from moe_eval.judge.cache import ReplyCache
from moe_eval.judge.endpoint import Endpoint
from moe_eval.judge.grading import Budget, estimate, grade_answers
from moe_eval.judge.record import JUDGE_FILE, GradedAnswer, JudgeRecord, fingerprint
from moe_eval.records import RunRecord, read_record, write_record
from moe_eval.registry import find_task
from moe_eval.score import score_answers
from moe_eval.summary import summarise
from moe_eval.task import Dataset, Sample, Task

__all__ = ["judge_run"]

OPENAI = "https://api.openai.com/v1"


def judge_run(
    folder: Path,
    model: str | None,
    url: str,
    key_variable: str,
    runs: int | None,
    budget: Budget,
    concurrency: int,
    timeout: float,
    cache: Path,
) -> None:
    """Estimate, ask, write `judge.json` and `scores.json`, print the scores.

    Args:
        model: None: the one that the original uses.
        runs: how often each answer is graded; None: as often as the original does.

    Raises:
        UserError: for a run that needs no judge or cannot have one, a missing key, an estimate above the budget, and an
            endpoint that does not answer.
    """
    run = read_record(RunRecord, folder / "run.json")
    task = find_task(run.task)
    judge = task.protocol(run.protocol).judge
    if judge is None:
        raise UserError(f"{folder}: {run.task} under protocol {run.protocol} is scored without a judge")
    path = folder / "responses.jsonl"
    dataset = recorded_data(task, path)
    assert dataset is not None  # run.json is there
    answers = read_answers(task, dataset, path)
    samples = _gradable(task, dataset, answers, folder)
    endpoint = Endpoint(url.rstrip("/"), model or judge.model, _key(url, key_variable), timeout)
    replies = ReplyCache(cache, endpoint)
    rounds = runs or judge.runs
    cost = estimate(judge, samples, answers, rounds, replies)
    print(
        f"judge {endpoint.model} at {endpoint.url}: {len(samples):,} answers, {rounds} run{'s' * (rounds != 1)}: at least "
        f"{cost.calls:,} calls, about {cost.tokens:,} tokens; the rest is in {replies.path}",
        flush=True,
    )
    if excess := budget.excess(cost):
        raise UserError(f"judge: {excess}, before anything was asked: allow more, or use a smaller --runs")
    with tqdm(total=len(samples) * rounds, desc=f"judge {endpoint.model}", unit="grade") as bar:
        grades, paid = grade_answers(
            judge, samples, answers, rounds, replies, endpoint.ask,
            budget=budget, concurrency=concurrency, on_grade=lambda: bar.update(),
        )  # fmt: skip
    first_calls = [next(judge.grade(sample, answers[sample.id])).prompt for sample in samples]
    record = JudgeRecord(
        task=task.name,
        protocol=run.protocol,
        model=endpoint.model,
        url=endpoint.url,
        runs=rounds,
        prompt=first_calls[0].encode("utf-8", "backslashreplace").decode(),
        prompts=fingerprint("\0".join(first_calls)),
        calls=paid.calls,
        tokens=paid.tokens,
        answers={
            name: GradedAnswer(answer=fingerprint(answers[name]), grades=list(values))
            for name, values in grades.items()
            if not any(map(math.isnan, values))  # the judge said "nan", which the original takes for a grade
        },
    )
    write_record(record, folder / JUDGE_FILE)
    missing = [sample.id for sample in dataset.samples if sample.id not in answers]
    scores = score_answers(task, run.protocol, dataset, answers, missing, record)
    write_record(scores, folder / "scores.json")
    print(f"\n{summarise(scores)}\n\n{paid.calls:,} calls, {paid.tokens:,} tokens; written to {folder}", flush=True)


def _gradable(task: Task, dataset: Dataset, answers: dict[str, str], folder: Path) -> list[Sample]:
    """The answered samples; their reference answers must be there."""
    samples = [sample for sample in dataset.samples if sample.id in answers]
    if not samples:
        raise UserError(f"{folder}: no answers to judge; finish the run first")
    bare = next((sample.id for sample in samples if sample.gold is None), None)
    if bare is not None:
        raise UserError(
            f"{task.name}: {dataset.source} has no reference answer to {bare}, and the judge needs one; "
            "run on data that have them (`moe-eval list data`)"
        )
    return samples


def _key(url: str, variable: str) -> str | None:
    key = os.environ.get(variable)
    if not key and url.rstrip("/") == OPENAI:
        raise UserError(
            f"judge: {url} wants a key: put it in the environment variable {variable}, or name another --url"
        )
    return key
