"""Stored answers by sample id: ours, LLaVA's and lmms-eval's.

| format | a line has |
|---|---|
| `moe-eval` | `id`, `response` (the `responses.jsonl` of a run) |
| `llava` | `question_id`, `text` or `prediction`, mostly `prompt` and `model_id` |
| `lmms-eval` | `doc_id`, `input`, `filtered_resps`, and `resps` where they differ (`--log_samples`) |
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from moe_eval.errors import UserError
from moe_eval.files.jsonl import read_jsonl
from moe_eval.runs.journal import recorded_log_probabilities
from moe_eval.task import Dataset, Sample, Task

__all__ = [
    "AnswerFormat",
    "StoredAnswer",
    "answer_files",
    "check_complete",
    "log_probabilities_of",
    "read_answers",
    "read_stored_answers",
    "texts_of",
]

AnswerFormat = Literal["moe-eval", "llava", "lmms-eval"]

CHUNK = re.compile(r"(\d+)_(\d+)\.jsonl(?:\.gz)?")
"""What LLaVA's scripts call the answers of one of several processes: `8_0.jsonl` to `8_7.jsonl`."""


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """One line of a file of answers.

    Args:
        id: of the sample that it answers.
        text: the answer.
        format: how the line is written.
        place: file and line, for people.
        prompt: what was asked, where the line says it.
        model: who answered, where the line says it.
        log_probabilities: of the answers that could be given, where the line says them.
    """

    id: str
    text: str
    format: AnswerFormat
    place: str
    prompt: str | None = None
    model: str | None = None
    log_probabilities: Mapping[str, float] | None = None


def read_answers(task: Task, dataset: Dataset, path: Path) -> dict[str, str]:
    """Answer text by sample id, from a file in any of the formats, plain or gzipped.

    Raises:
        UserError: see `read_stored_answers`.
    """
    return texts_of(read_stored_answers(task, dataset, [path]))


def read_stored_answers(task: Task, dataset: Dataset, paths: Sequence[Path]) -> dict[str, StoredAnswer]:
    """Answers by sample id, from one file or several that hold parts.

    Raises:
        UserError: for a broken line, a line without the fields of a format, and an id that occurs twice or is not in
            the data.
    """
    known = {sample.id for sample in dataset.samples}
    answers: dict[str, StoredAnswer] = {}
    for path in paths:
        for answer in _read(task, dataset, path):
            if answer.id not in known:
                raise UserError(
                    f"{task.name}: {answer.place}: id {answer.id} is not in the data ({len(known):,} ids, "
                    f"{dataset.source}). Was it made for another split? Say which with --data"
                )
            if answer.id in answers:
                first = answers[answer.id].place.removeprefix(f"{path} ")
                raise UserError(
                    f"{task.name}: {answer.place}: id {answer.id} was answered in {first} already; remove one"
                )
            answers[answer.id] = answer
    return answers


def texts_of(answers: Mapping[str, StoredAnswer]) -> dict[str, str]:
    """Answer text by sample id."""
    return {name: answer.text for name, answer in answers.items()}


def log_probabilities_of(answers: Mapping[str, StoredAnswer]) -> dict[str, Mapping[str, float]]:
    """Log-probabilities by sample id and answer, of those that have them."""
    return {name: answer.log_probabilities for name, answer in answers.items() if answer.log_probabilities is not None}


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


def answer_files(path: Path) -> list[Path]:
    """The files of answers that a path means: itself, or those of a folder.

    A folder's `merge.jsonl` stands for it, for LLaVA's scripts put all chunks into it.

    Raises:
        UserError: when there are none, and when one of several chunks is missing.
    """
    if not path.is_dir():
        return [path]
    if (path / "merge.jsonl").is_file():
        return [path / "merge.jsonl"]
    files = sorted(file for pattern in ("*.jsonl", "*.jsonl.gz") for file in path.glob(pattern))
    if not files:
        raise UserError(f"{path}: no answers in it: a file NAME.jsonl or NAME.jsonl.gz is wanted")
    chunks = {(int(match[1]), int(match[2])) for file in files if (match := CHUNK.fullmatch(file.name))}
    for total in sorted({total for total, _ in chunks}):
        absent = [index for index in range(total) if (total, index) not in chunks]
        if absent:
            raise UserError(f"{path}: {len(absent)} of {total} chunks are missing, such as {total}_{absent[0]}.jsonl")
    return files


def _read(task: Task, dataset: Dataset, path: Path) -> Iterator[StoredAnswer]:
    for number, record in read_jsonl(path):
        place = f"{path} line {number}"
        where = f"{task.name}: {place}"
        try:
            if "response" in record:
                measured = recorded_log_probabilities(record)
                answer = StoredAnswer(
                    str(record["id"]), record["response"], "moe-eval", place, log_probabilities=measured
                )
            elif "doc_id" in record:
                answer = _of_lmms_eval(task, dataset, record, place)
            else:
                text = record["text" if "text" in record else "prediction"]
                prompt, model = _string(record, "prompt"), _string(record, "model_id")
                answer = StoredAnswer(task.answer_id(record), text, "llava", place, prompt, model)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{where}: neither an answer of ours (id, response) nor of LLaVA's (question_id, text) nor of "
                f"lmms-eval's (doc_id, input, filtered_resps): {error!r}"
            ) from error
        if not isinstance(answer.text, str):
            raise UserError(f"{where}: the answer is a {type(answer.text).__name__}, not a string")
        yield answer


def _string(record: Mapping[str, Any], field: str) -> str | None:
    value = record.get(field)
    return value if isinstance(value, str) else None


# --- lmms-eval ----------------------------------------------------------------------------------------------------


def _of_lmms_eval(task: Task, dataset: Dataset, record: Mapping[str, Any], place: str) -> StoredAnswer:
    """`doc_id` is the row in the data that lmms-eval loaded, so the question there must be the one that was asked.

    Source: lmms-eval 0.7.3, `EvaluationTracker.save_results_samples`.
    """
    row, prompt = int(record["doc_id"]), record["input"]
    texts = list(_leaves(record.get("resps", record["filtered_resps"])))
    if len(texts) != 1:
        raise UserError(f"{task.name}: {place}: {len(texts)} answers to one question; one is wanted (no repeats)")
    samples = dataset.samples
    if not 0 <= row < len(samples):
        raise UserError(
            f"{task.name}: {place}: doc_id {row} is not in the data ({len(samples):,} rows, {dataset.source}). "
            "Was it made for another split? Say which with --data"
        )
    if not _asks(task, samples[row], prompt):
        raise UserError(
            f"{task.name}: {place}: asks {_short(prompt)}, but row {row} of {dataset.source} is "
            f"{_short(samples[row].question)}; name the data that lmms-eval asked with --data (hub or tsv:FILE, as a rule)"
        )
    return StoredAnswer(samples[row].id, texts[0], "lmms-eval", place, prompt)


def _asks(task: Task, sample: Sample, prompt: str) -> bool:
    """Whether a prompt puts this question, in whatever words around it."""
    asked = _plain(prompt)
    if "lmms-eval" in task.protocols:
        ours = task.protocols["lmms-eval"].prompt(sample)
        if _plain(ours) == asked:
            return True
        body, line_end, _ = ours.rpartition("\n")  # without the suffix, for which lmms-eval has one per model
        if line_end and _plain(body) in asked:
            return True
    return bool(sample.question) and _plain(sample.question) in asked


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for entry in value:
            yield from _leaves(entry)
    else:
        yield value


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
