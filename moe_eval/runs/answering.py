"""One run: a model answers a task's questions into a folder.

A run may be killed at any moment. Its settings are written before the first question, each answer goes to an
append-only journal, results replace their file in one step; a restart asks only what the journal lacks.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moe_eval.engine.ablation import find_ablation
from moe_eval.engine.backend import Backend, ModelInfo, Request, Telling, Unanswered
from moe_eval.errors import UserError
from moe_eval.images import ImageRef, Upright
from moe_eval.runs import environment
from moe_eval.runs.journal import Journal
from moe_eval.runs.lock import only_process
from moe_eval.runs.plan import Plan, Sampling
from moe_eval.runs.recorded import RECORDED_FILE
from moe_eval.runs.records import (
    DataRecord,
    GenerationRecord,
    PromptRecord,
    RunRecord,
    SessionRecord,
    ShardRecord,
    read_record,
    write_record,
)
from moe_eval.runs.routing import ROUTING_FILES, RoutingJournal, write_routing
from moe_eval.task import Sample, Task, TaskProtocol, answer_ids

__all__ = ["RUN_FILES", "Answered", "answer", "by_group"]

RUN_FILES = ("run.json", "responses.jsonl", "scores.json", "judge.json", RECORDED_FILE, *ROUTING_FILES)


@dataclass(frozen=True)
class Answered:
    """What a run has after everything was asked.

    Args:
        answers: texts by sample id.
        missing: ids of samples whose pictures cannot be opened.
        log_probabilities: of the answers that could be given, by sample id, where the protocol wants them.
    """

    answers: Mapping[str, str]
    missing: Sequence[str]
    log_probabilities: Mapping[str, Mapping[str, float]]


@contextmanager
def answer(
    plan: Plan, backend: Backend, on_answer: Callable[[int, int], None] = lambda answered, total: None
) -> Iterator[Answered]:
    """Answer what is not answered yet, and write the run's files but its scores; the folder stays ours meanwhile.

    Args:
        on_answer: called with (answered so far, all questions) at the start and after each answer.

    Raises:
        UserError: when another process works on the folder, when it holds answers made with other settings or, if
            routing is wanted, without it, when the disk is full, or when pictures cannot be opened.
    """
    folder, dataset = plan.folder, plan.dataset
    record = _describe(plan, backend.describe())
    _make(folder)
    with only_process(folder):
        if plan.fresh:
            for name in RUN_FILES:
                (folder / name).unlink(missing_ok=True)
        _refuse_imported(folder)
        with Journal(folder / "responses.jsonl") as journal:
            sessions = _earlier_sessions(plan, record) if journal.responses else []
            routes = RoutingJournal(folder, journal.responses) if plan.routing else nullcontext()
            with routes, _session(folder, record, sessions, journal, backend):
                unanswered = _ask(record, plan, backend, journal, routes, on_answer)
        if plan.routing:
            write_routing(folder, record, len(journal.responses))
        _check_readable(plan.task, unanswered, plan.asked, plan.allow_missing)
        keys = [key for sample in dataset.samples for key in _keys(sample, plan)]
        responses = [journal.responses[key] for key in keys if key in journal.responses]
        yield Answered(
            answers={response.id: response.text for response in responses},
            missing=[item.id for item in unanswered],
            log_probabilities={
                response.id: response.log_probabilities
                for response in responses
                if response.log_probabilities is not None
            },
        )


def _describe(plan: Plan, model: ModelInfo) -> RunRecord:
    prompts = [plan.protocol.prompt(sample) for sample in plan.dataset.samples]
    return RunRecord(
        task=plan.task.name,
        protocol=plan.protocol_name,
        model=model,
        data=DataRecord.of(plan.dataset),
        shard=ShardRecord.of(plan.shard, plan.whole) if plan.shard else None,
        prompt=PromptRecord.of(prompts),
        generation=GenerationRecord(
            max_new_tokens=plan.answer_limit,
            pad_images=model.family not in plan.task.unpadded_families,
            ablation=plan.ablation,
            system=plan.system,
            thinking=plan.thinking,
            **_drawn(plan.sampling),
        ),
    )


def _drawn(sampling: Sampling | None) -> dict[str, Any]:
    return {"do_sample": True, **asdict(sampling)} if sampling else {}


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be created ({error.strerror}); use another --out") from error


def _refuse_imported(folder: Path) -> None:
    path = folder / "run.json"
    if path.is_file() and read_record(RunRecord, path).origin:
        raise UserError(
            f"{folder} holds imported answers, and a run cannot go on from them: "
            "throw them away with --fresh, or keep both with another --out"
        )


def _earlier_sessions(plan: Plan, record: RunRecord) -> list[SessionRecord]:
    """Sessions of the run whose answers the journal holds; it must have had the same settings, but may have asked less."""
    folder = plan.folder
    earlier = read_record(RunRecord, folder / "run.json")
    fewer = plan.dataset.first(earlier.data.samples)
    if earlier.data.samples < record.data.samples and fewer.fingerprint == earlier.data.fingerprint:
        prompts = [plan.protocol.prompt(sample) for sample in fewer.samples]
        record = record.model_copy(
            update={
                "data": record.data.model_copy(
                    update={"samples": len(prompts), "fingerprint": fewer.fingerprint, "version": earlier.data.version}
                ),
                "prompt": PromptRecord.of(prompts),
            }
        )
    changes = earlier.differences(record)
    if changes:
        raise UserError(
            f"{folder} holds answers made with other settings ({'; '.join(changes)}): "
            "throw them away with --fresh, or keep both with another --out"
        )
    return earlier.sessions


@contextmanager
def _session(
    folder: Path, record: RunRecord, earlier: Sequence[SessionRecord], journal: Journal, backend: Backend
) -> Iterator[None]:
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
        told = backend.told() if isinstance(backend, Telling) else {}
        answered = len(journal.responses) - before
        done = session.model_copy(update={"answered": answered, "seconds": seconds, "told": told})
        with suppress(UserError):  # a full disk was reported by the journal, or will be by scores.json
            write_record(record.model_copy(update={"sessions": [*earlier, done]}), path)


def _ask(
    record: RunRecord,
    plan: Plan,
    backend: Backend,
    journal: Journal,
    routes: RoutingJournal | nullcontext,
    on_answer: Callable[[int, int], None],
) -> list[Unanswered]:
    """Journal the answers to all open questions; what could not be asked comes back."""
    dataset, protocol, generation = plan.dataset, plan.protocol, record.generation
    assert generation is not None  # only imported answers have none
    pictures = (image for sample in dataset.samples for image in _pictures(sample, protocol))
    ablate = find_ablation(generation.ablation, pictures) if generation.ablation else lambda request: request
    # Answers that were made without routing are made again, for their routing alone.
    recorded = routes.recorded if isinstance(routes, RoutingJournal) else journal.responses
    requests = (
        Request(
            id=key,
            images=_pictures(sample, protocol),
            text=protocol.prompt(sample),
            max_new_tokens=generation.max_new_tokens,
            pad_images=generation.pad_images,
            continuations=tuple(protocol.continuations(sample)) if protocol.continuations else (),
            temperature=generation.temperature or 0.0,
            seed=generation.seed or 0,
            system=generation.system,
            thinking=generation.thinking,
        )
        for sample in by_group(dataset.samples)
        for key in _keys(sample, plan)
        if key not in journal.responses or key not in recorded
    )
    unanswered = []
    on_answer(len(journal.responses), plan.asked)
    for answer in backend.generate(map(ablate, requests)):
        if isinstance(answer, Unanswered):
            unanswered.append(answer)
        else:
            if isinstance(routes, RoutingJournal) and answer.routing:
                routes.append(answer.id, answer.routing)
            if answer.id not in journal.responses:
                journal.append(answer)
        on_answer(len(journal.responses), plan.asked)
    return unanswered


def _pictures(sample: Sample, protocol: TaskProtocol) -> tuple[ImageRef, ...]:
    return tuple(map(Upright, sample.images)) if protocol.upright else sample.images


def _keys(sample: Sample, plan: Plan) -> list[str]:
    return answer_ids(sample.id, plan.sampling.samples if plan.sampling else None)


def by_group(samples: Sequence[Sample]) -> list[Sample]:
    """Questions about one picture next to each other, otherwise in the order of the data."""
    first_seen: dict[str, int] = {}
    for sample in samples:
        first_seen.setdefault(sample.group, len(first_seen))
    return sorted(samples, key=lambda sample: first_seen[sample.group])


def _check_readable(task: Task, unanswered: Sequence[Unanswered], total: int, allow_missing: bool) -> None:
    failed = [item for item in unanswered if item.failed]
    if failed and not allow_missing:
        raise UserError(
            f"{task.name}: {len(failed)} of {total} questions were not answered, the first: {failed[0].id}: "
            f"{' '.join(failed[0].reason.split())}; the other answers are kept: mend it and start again, or score without them "
            "with --allow-missing"
        )
    if unanswered and not allow_missing:
        reasons = list(dict.fromkeys(item.reason for item in unanswered))
        raise UserError(
            f"{task.name}: {len(unanswered)} of {total} questions have unreadable pictures ({len(reasons)} pictures, "
            f"the first: {reasons[0]}); the other answers are kept: repair the pictures and start again, or score "
            "without them with --allow-missing"
        )
