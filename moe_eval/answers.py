"""Stored answers, ours or LLaVA's, by sample id."""

from collections.abc import Collection
from pathlib import Path

from moe_eval.errors import UserError
from moe_eval.jsonl import read_jsonl
from moe_eval.task import Dataset, Task

__all__ = ["check_complete", "read_answers"]


def read_answers(task: Task, dataset: Dataset, path: Path) -> dict[str, str]:
    """Answer text by sample id, from our `responses.jsonl` (`id`, `response`) or a LLaVA answers file
    (`question_id`, `text`; some call it `prediction`), plain or gzipped.

    Raises:
        UserError: for a broken line, a line without those fields, and an id that occurs twice or is not in the data.
    """
    known = {sample.id for sample in dataset.samples}
    answers: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, record in read_jsonl(path):
        where = f"{task.name}: {path} line {number}"
        try:
            if "response" in record:
                sample_id, text = str(record["id"]), record["response"]
            else:
                sample_id, text = task.answer_id(record), record["text" if "text" in record else "prediction"]
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{where}: neither an answer of ours (id, response) nor of LLaVA's (question_id, text): {error!r}"
            ) from error
        if not isinstance(text, str):
            raise UserError(f"{where}: the answer is a {type(text).__name__}, not a string")
        if sample_id not in known:
            raise UserError(
                f"{where}: id {sample_id} is not in the data ({len(known):,} ids, {dataset.source}). "
                "Was it made for another split? Say which with --data"
            )
        if sample_id in answers:
            raise UserError(f"{where}: id {sample_id} was answered in line {lines[sample_id]} already; remove one")
        answers[sample_id], lines[sample_id] = text, number
    return answers


def check_complete(task: Task, dataset: Dataset, answers: Collection[str], path: Path) -> None:
    """Every question must have an answer.

    Raises:
        UserError: saying how many are missing and naming the first.
    """
    missing = [sample.id for sample in dataset.samples if sample.id not in answers]
    if missing:
        raise UserError(
            f"{task.name}: {path} answers {len(answers):,} of {len(dataset.samples):,} questions ({dataset.source}); "
            f"{len(missing):,} are missing, the first is id {missing[0]}. Finish the run, name the right --data, or "
            "leave them out with --allow-missing"
        )
