"""`moe-eval import`: answers that somebody else's program made become a run, scored and tabulated like our own."""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from moe_eval.commands.options import RUNS, TaskFileOption, own_task
from moe_eval.engine.backend import ModelInfo
from moe_eval.errors import UserError
from moe_eval.files.atomic import write_atomically
from moe_eval.registry import find_task
from moe_eval.runs import environment
from moe_eval.runs.answering import RUN_FILES
from moe_eval.runs.plan import run_folder
from moe_eval.runs.records import (
    DataRecord,
    ImportedFile,
    OriginRecord,
    PromptRecord,
    RunRecord,
    prompt_fingerprint,
    write_record,
)
from moe_eval.scoring.answers import AnswerFormat, StoredAnswer, answer_files, check_complete, read_stored_answers
from moe_eval.scoring.score import score_answers
from moe_eval.scoring.summary import summarise
from moe_eval.task import Dataset, Task

__all__ = ["import_", "import_answers"]


def import_(
    task: Annotated[str, typer.Argument(help="A name of `list tasks`.")],
    answers: Annotated[
        list[Path],
        typer.Argument(
            metavar="ANSWERS...", help="LLaVA's answers/*.jsonl, lmms-eval's *_samples_*.jsonl, or folders of chunks."
        ),
    ],
    model: Annotated[str, typer.Option(help="Who answered; a name of `list models` fills in the table's columns.")],
    llm: Annotated[str | None, typer.Option(help="The language model inside, for tables.")] = None,
    data: Annotated[str | None, typer.Option(help="What was asked. Default: the task's official data.")] = None,
    task_file: TaskFileOption = None,
    protocol: Annotated[
        str | None, typer.Option(help="How to score. Default: as the program that wrote the answers does.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of all runs.")] = RUNS,
    allow_missing: Annotated[bool, typer.Option(help="Leave out questions that have no answer.")] = False,
    fresh: Annotated[bool, typer.Option(help="Throw away what the run's folder holds.")] = False,
) -> None:
    """Make a run of answers that another program wrote; it is scored, compared and tabulated like our own.

    Example: moe-eval import pope tests/data/llava15_13b/pope.jsonl.gz --model llava-1.5-13b
    """
    own_task(task_file)
    print(import_answers(task, answers, model, llm, data, protocol, out, allow_missing, fresh))


UNKNOWN = "unknown"
"""What stands in a record for what the files of answers do not say."""


def import_answers(
    task_name: str,
    paths: Sequence[Path],
    model: str,
    llm: str | None,
    data: str | None,
    protocol: str | None,
    out: Path,
    allow_missing: bool,
    fresh: bool,
) -> str:
    """Write a run folder; its scores come back as text.

    Args:
        paths: files of answers, or folders of them.
        model: who answered; a name of the zoo says more about it.
        llm: the language model inside, for tables.
        data: what was asked; None: the task's first source.
        protocol: how to score; None: as the program that wrote the files does.
        fresh: throw away what the run folder holds.

    Raises:
        UserError: for names that do not exist, for answers that are broken, repeated, missing, of several formats or
            of several models, and for a run folder that is not empty.
    """
    task = find_task(task_name)
    if protocol:
        task.protocol(protocol)
    files = [file for path in paths for file in answer_files(path)]
    folder = run_folder(out, model, task.name)
    if not fresh and any((folder / name).exists() for name in RUN_FILES):
        raise UserError(f"{folder} holds a run already: throw it away with --fresh, or keep both with another --out")
    dataset = _load(task, data, files)
    answers = read_stored_answers(task, dataset, files)
    if not allow_missing:
        check_complete(task, dataset, answers, paths[0])
    origin = _origin(task, answers, files)
    protocol = protocol or (origin.format if origin.format in task.protocols else next(iter(task.protocols)))
    texts = {name: answer.text for name, answer in answers.items()}
    missing = [sample.id for sample in dataset.samples if sample.id not in texts]
    scores = score_answers(task, protocol, dataset, texts, missing)
    record = RunRecord(
        task=task.name,
        protocol=protocol,
        model=_describe(model, llm),
        data=DataRecord.of(dataset),
        prompt=_prompts(dataset, answers),
        generation=None,
        origin=origin,
    )
    _write(folder, record, dataset, texts)
    write_record(scores, folder / "scores.json")
    return f"{model}\n{summarise(scores)}\n\nwritten to {folder}"


def _load(task: Task, data: str | None, files: Sequence[Path]) -> Dataset:
    """What was asked; stored answers with their gold in them say it themselves."""
    source = data or next(iter(task.sources))
    if source != "answers":
        return task.load(source)
    if len(files) > 1:
        raise UserError(f"{task.name}: {len(files)} files: say what was asked with --data llava:DIR, tsv:FILE or hub")
    return task.load(f"answers:{files[0].resolve()}")


def _origin(task: Task, answers: Mapping[str, StoredAnswer], files: Sequence[Path]) -> OriginRecord:
    """All lines must be of one format and, where they say it, of one model."""
    if not answers:
        raise UserError(f"{task.name}: {files[0]}: holds no answers")
    by_format: dict[AnswerFormat, StoredAnswer] = {}
    by_model: dict[str, StoredAnswer] = {}
    for answer in answers.values():
        by_format.setdefault(answer.format, answer)
        if answer.model:
            by_model.setdefault(answer.model, answer)
    if len(by_format) > 1:
        one, other = list(by_format.values())[:2]
        raise UserError(
            f"{task.name}: {one.place} is written as {one.format} does and {other.place} as {other.format} does; "
            "import them one after the other"
        )
    if len(by_model) > 1:
        (name, one), (other_name, other) = list(by_model.items())[:2]
        raise UserError(
            f"{task.name}: {one.place} is of model {name} and {other.place} of {other_name}; one run is of one model"
        )
    counts = Counter(answer.place.rpartition(" line ")[0] for answer in answers.values())
    return OriginRecord(
        format=next(iter(by_format)),
        files=[
            ImportedFile(path=str(file.resolve()), sha256=_sha256(file), answers=counts[str(file)]) for file in files
        ],
        model=next(iter(by_model), None),
        imported=datetime.now(UTC).isoformat(timespec="seconds"),
        command=sys.argv,
        git_commit=environment.git_commit(),
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _prompts(dataset: Dataset, answers: Mapping[str, StoredAnswer]) -> PromptRecord | None:
    """What was asked, if all answers say it."""
    prompts = [answers[sample.id].prompt for sample in dataset.samples if sample.id in answers]
    known = [prompt for prompt in prompts if prompt is not None]
    if len(known) < len(prompts):
        return None
    example = known[0].encode("utf-8", "backslashreplace").decode()
    return PromptRecord(fingerprint=prompt_fingerprint(known), example=example)


def _describe(name: str, llm: str | None) -> ModelInfo:
    """What is known of a model by its name alone."""
    from moe_eval.engine.parameters import count_parameters
    from moellava import zoo

    if name not in zoo.names():
        return ModelInfo(name, UNKNOWN, UNKNOWN, "import", UNKNOWN, llm=llm)
    entry = zoo.find(name)
    config = None if entry.in_transformers else zoo.architecture(name)
    return ModelInfo(
        name=name,
        family=UNKNOWN,
        weights_fingerprint=UNKNOWN,
        backend="import",
        dtype=UNKNOWN,
        llm=llm or entry.llm,
        image_size=config.vision_config.image_size if config else None,
        parameters=count_parameters(config) if config else None,
        published_as=entry.published_as,
    )


def _write(folder: Path, record: RunRecord, dataset: Dataset, texts: Mapping[str, str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in RUN_FILES:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); use another --out") from error
    lines = [
        json.dumps({"id": sample.id, "response": texts[sample.id]}) + "\n"
        for sample in dataset.samples
        if sample.id in texts
    ]
    write_record(record, folder / "run.json")
    write_atomically(folder / "responses.jsonl", "".join(lines))
