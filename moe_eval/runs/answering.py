"""One run: a model answers a task's questions into a folder, and the answers are scored.

A run may be killed at any moment. Its settings are written before the first question, each answer goes to an
append-only journal, results replace their file in one step; a restart asks only what the journal lacks.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from moe_eval.engine.ablation import find_ablation
from moe_eval.engine.backend import Backend, ModelInfo, Request, Unanswered
from moe_eval.errors import UserError
from moe_eval.judge.record import JUDGE_FILE, read_judge
from moe_eval.runs import environment
from moe_eval.runs.journal import Journal
from moe_eval.runs.recorded import RECORDED_FILE
from moe_eval.runs.records import (
    DataRecord,
    GenerationRecord,
    PromptRecord,
    RunRecord,
    ScoresRecord,
    SessionRecord,
    read_record,
    write_record,
)
from moe_eval.runs.routing import ROUTING_FILES, RoutingJournal, write_routing
from moe_eval.scoring.score import score_answers
from moe_eval.task import Dataset, Sample, Task

__all__ = ["RUN_FILES", "check_askable", "run_folder", "run_task"]

RUN_FILES = ("run.json", "responses.jsonl", "scores.json", JUDGE_FILE, RECORDED_FILE, *ROUTING_FILES)


def run_folder(out: Path, model: str, task: str, ablation: str | None = None) -> Path:
    """`out/<model>/<task>`, with both names made safe for a path; ablated runs lie beside, not among, the others.

    >>> run_folder(Path("results/runs"), "hf:llava-hf/llava-1.5-7b-hf", "pope").as_posix()
    'results/runs/hf--llava-hf--llava-1.5-7b-hf/pope'
    >>> run_folder(Path("results/runs"), "llava-1.5-7b", "pope", "image=grey").as_posix()
    'results/runs/llava-1.5-7b--image=grey/pope'
    """
    return out / _path_part(f"{model}@{ablation}" if ablation else model) / _path_part(task)


def run_task(
    task: Task,
    protocol_name: str,
    dataset: Dataset,
    backend: Backend,
    folder: Path,
    *,
    ablation: str | None = None,
    routing: bool = False,
    allow_missing: bool = False,
    fresh: bool = False,
    on_answer: Callable[[int, int], None] = lambda answered, total: None,
) -> ScoresRecord:
    """Answer what is not answered yet, score, and write the run's files.

    Args:
        ablation: what is taken away from every question, a name of `moe_eval.engine.ablation.ABLATIONS`.
        routing: write down how tokens are routed; the backend must say it.
        allow_missing: score without the samples whose pictures cannot be opened, instead of failing at the end.
        fresh: throw away what the folder holds of an earlier run.
        on_answer: called with (answered so far, all questions) at the start and after each answer.

    Raises:
        UserError: when another process works on the folder, when it holds answers made with other settings or, if
            `routing` is wanted, without it, when the disk is full, or when pictures cannot be opened.
    """
    check_askable(task, dataset)
    record = _describe(task, protocol_name, dataset, backend.describe(), ablation)
    _make(folder)
    with _only_process(folder):
        if fresh:
            for name in RUN_FILES:
                (folder / name).unlink(missing_ok=True)
        _refuse_imported(folder)
        with Journal(folder / "responses.jsonl") as journal:
            sessions = _earlier_sessions(folder, record) if journal.responses else []
            routes = RoutingJournal(folder, journal.responses) if routing else nullcontext()
            with routes, _session(folder, record, sessions, journal):
                unanswered = _ask(record, task, protocol_name, dataset, backend, journal, routes, on_answer)
        if routing:
            write_routing(folder, record, len(journal.responses))
        _check_readable(task, unanswered, len(dataset.samples), allow_missing)
        answers = {response.id: response.text for response in journal.responses.values()}
        missing = [item.id for item in unanswered]
        scores = score_answers(task, protocol_name, dataset, answers, missing, read_judge(folder, protocol_name))
        write_record(scores, folder / "scores.json")
        return scores


def check_askable(task: Task, dataset: Dataset) -> None:
    """Refuse data without pictures.

    Raises:
        UserError: saying what such data are for.
    """
    if not dataset.has_images:
        raise UserError(
            f"{task.name}: {dataset.source} has no pictures: it scores stored answers; "
            "run with another --data (`moe-eval list data`)"
        )


def _describe(task: Task, protocol_name: str, dataset: Dataset, model: ModelInfo, ablation: str | None) -> RunRecord:
    protocol = task.protocol(protocol_name)
    prompts = [protocol.prompt(sample) for sample in dataset.samples]
    return RunRecord(
        task=task.name,
        protocol=protocol_name,
        model=model,
        data=DataRecord.of(dataset),
        prompt=PromptRecord.of(prompts),
        generation=GenerationRecord(
            max_new_tokens=protocol.max_new_tokens or task.max_new_tokens,
            pad_images=model.family not in task.unpadded_families,
            ablation=ablation,
        ),
    )


def _path_part(name: str) -> str:
    return "--".join(part for part in name.replace(":", "/").replace("@", "/").split("/") if part.strip("."))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be created ({error.strerror}); use another --out") from error


@contextmanager
def _only_process(folder: Path) -> Iterator[None]:
    try:
        with FileLock(folder / ".lock", blocking=False):
            yield
    except Timeout as error:
        raise UserError(
            f"{folder}: another process is working on this run; wait for it, or use another --out"
        ) from error


def _refuse_imported(folder: Path) -> None:
    path = folder / "run.json"
    if path.is_file() and read_record(RunRecord, path).origin:
        raise UserError(
            f"{folder} holds imported answers, and a run cannot go on from them: "
            "throw them away with --fresh, or keep both with another --out"
        )


def _earlier_sessions(folder: Path, record: RunRecord) -> list[SessionRecord]:
    """Sessions of the run whose answers the journal holds; it must have had the same settings."""
    earlier = read_record(RunRecord, folder / "run.json")
    changes = earlier.differences(record)
    if changes:
        raise UserError(
            f"{folder} holds answers made with other settings ({'; '.join(changes)}): "
            "throw them away with --fresh, or keep both with another --out"
        )
    return earlier.sessions


@contextmanager
def _session(folder: Path, record: RunRecord, earlier: Sequence[SessionRecord], journal: Journal) -> Iterator[None]:
    """Writes `run.json` before the first question and again, with the time it took, when the session ends."""
    session = SessionRecord(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=sys.argv,
        git_commit=environment.git_commit(),
        versions=environment.versions(),
        hardware=environment.hardware(),
    )
    before, start = len(journal.responses), time.monotonic()
    path = folder / "run.json"
    write_record(record.model_copy(update={"sessions": [*earlier, session]}), path)
    try:
        yield
    finally:
        seconds = round(time.monotonic() - start, 3)
        done = session.model_copy(update={"answered": len(journal.responses) - before, "seconds": seconds})
        with suppress(UserError):  # a full disk was reported by the journal, or will be by scores.json
            write_record(record.model_copy(update={"sessions": [*earlier, done]}), path)


def _ask(
    record: RunRecord,
    task: Task,
    protocol_name: str,
    dataset: Dataset,
    backend: Backend,
    journal: Journal,
    routes: RoutingJournal | nullcontext,
    on_answer: Callable[[int, int], None],
) -> list[Unanswered]:
    """Journal the answers to all open questions; what could not be asked comes back."""
    prompt, generation = task.protocol(protocol_name).prompt, record.generation
    assert generation is not None  # only imported answers have none
    ablate = find_ablation(generation.ablation) if generation.ablation else lambda request: request
    requests = (
        Request(
            id=sample.id,
            images=sample.images,
            text=prompt(sample),
            max_new_tokens=generation.max_new_tokens,
            pad_images=generation.pad_images,
        )
        for sample in _by_group(dataset.samples)
        if sample.id not in journal.responses
    )
    unanswered = []
    on_answer(len(journal.responses), len(dataset.samples))
    for answer in backend.generate(map(ablate, requests)):
        if isinstance(answer, Unanswered):
            unanswered.append(answer)
        else:
            if isinstance(routes, RoutingJournal) and answer.routing:
                routes.append(answer.id, answer.routing)
            journal.append(answer)
        on_answer(len(journal.responses), len(dataset.samples))
    return unanswered


def _by_group(samples: Sequence[Sample]) -> list[Sample]:
    """Questions about one picture next to each other, otherwise in the order of the data."""
    first_seen: dict[str, int] = {}
    for sample in samples:
        first_seen.setdefault(sample.group, len(first_seen))
    return sorted(samples, key=lambda sample: first_seen[sample.group])


def _check_readable(task: Task, unanswered: Sequence[Unanswered], total: int, allow_missing: bool) -> None:
    if unanswered and not allow_missing:
        reasons = list(dict.fromkeys(item.reason for item in unanswered))
        raise UserError(
            f"{task.name}: {len(unanswered)} of {total} questions have unreadable pictures ({len(reasons)} pictures, "
            f"the first: {reasons[0]}); the other answers are kept: repair the pictures and start again, or score "
            "without them with --allow-missing"
        )
