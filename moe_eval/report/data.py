"""What a run was asked, loaded once more, and its answers under the other protocols; both may be gone by now."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moe_eval.errors import UserError
from moe_eval.judge.record import read_judge, with_grades
from moe_eval.registry import find_task
from moe_eval.runs.asked import load_asked
from moe_eval.runs.records import DataRecord, RunRecord, prompt_fingerprint
from moe_eval.scoring.option_texts import NO_OPTION_TEXTS, count_untold
from moe_eval.task import Dataset, Sample, Task, TaskProtocol, worth

__all__ = [
    "DataLoader",
    "FoundData",
    "Scored",
    "asked_as_recorded",
    "find_data",
    "rescore",
]

DataLoader = Callable[[str, DataRecord, str | None], Dataset]
"""As `moe_eval.runs.asked.load_asked`."""


@dataclass(frozen=True)
class Scored:
    """A run's answers under one protocol.

    Args:
        metric: name of the headline number.
        value: the headline; None while it is pending.
        worths: how right each answer was, by sample id; None where that is not known.
    """

    metric: str
    value: float | None
    worths: Mapping[str, float | None]


@dataclass(frozen=True)
class FoundData:
    """What there still is of what a run was asked; `notes` say why something is missing."""

    task: Task | None = None
    dataset: Dataset | None = None
    notes: tuple[str, ...] = ()


def find_data(run: RunRecord, load: DataLoader = load_asked) -> FoundData:
    """The data of a run, if they are still what they were; otherwise the report shows what the run's folder has."""
    try:
        task = find_task(run.task)
    except UserError as error:
        return FoundData(notes=(_only_folder(f"the task is not installed here ({error})"),))
    try:
        dataset = load(run.task, run.data, run.ablation)
    except (UserError, OSError) as error:
        return FoundData(task, notes=(_only_folder(f"the data cannot be loaded any more ({error})"),))
    notes = []
    if not dataset.has_images:
        notes.append("No pictures are shown, for the source of the questions has none.")
    if not asked_as_recorded(run, task, dataset):
        notes.append(f"What exactly was asked is not recorded; prompts are shown as protocol {run.protocol} asks them.")
    return FoundData(task, dataset, tuple(notes))


def asked_as_recorded(run: RunRecord, task: Task, dataset: Dataset) -> bool:
    """Whether the prompts that the protocol makes today are those of the run."""
    if run.prompt is None or run.protocol not in task.protocols:
        return False
    prompts = map(task.protocols[run.protocol].prompt, dataset.samples)
    return run.prompt.fingerprint == prompt_fingerprint(prompts)


def rescore(
    folder: Path, run: RunRecord, found: FoundData, answers: Mapping[str, str], own: Mapping[str, float | None]
) -> tuple[dict[str, Scored], list[str]]:
    """What a run's answers are worth under the task's other protocols, where that can be told, and notes.

    Args:
        own: what they are worth under the run's own protocol, by sample id.
    """
    scored: dict[str, Scored] = {}
    notes: list[str] = []
    if found.task is None or found.dataset is None:
        return scored, notes
    answered = [sample for sample in found.dataset.samples if sample.id in answers]
    for name in found.task.text_protocols:
        if name == run.protocol or not answered:
            continue
        try:
            scores = _score(
                found.task.protocols[name], with_grades(answered, answers, read_judge(folder, name)), answers
            )
        except UserError as error:
            notes.append(f"Not scored under protocol {name}: {error}.")
            continue
        if untold := count_untold(answered, own, scores.worths):
            notes.append(f"Not scored under protocol {name}, for {NO_OPTION_TEXTS}, and {untold:,} answers are words.")
        elif any(value is not None for value in scores.worths.values()):
            scored[name] = scores
    return scored, notes


def _score(protocol: TaskProtocol, samples: Sequence[Sample], answers: Mapping[str, str]) -> Scored:
    """Without intervals, which take longer than all the rest."""
    scores = [protocol.score(sample, answers[sample.id]) for sample in samples]
    worths = {sample.id: worth(score) for sample, score in zip(samples, scores, strict=True)}
    return Scored(protocol.headline, protocol.aggregate(scores).headline, worths)


def _only_folder(reason: str) -> str:
    return f"Only what the run's folder holds is shown (no questions, prompts or pictures): {reason}."
