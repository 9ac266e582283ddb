"""The stored answers of a run under every way of scoring that its task has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from moe_eval.errors import UserError
from moe_eval.judge.record import read_judge
from moe_eval.registry import find_task
from moe_eval.runs.records import RunRecord, ScoresRecord, read_record
from moe_eval.runs.stored_run import recorded_data
from moe_eval.scoring.answers import log_probabilities_of, read_stored_answers, texts_of
from moe_eval.scoring.score import score_answers
from moe_eval.task import Dataset

__all__ = ["Rescored", "rescore"]


@dataclass(frozen=True)
class Rescored:
    """What the same answers are worth to each protocol.

    Args:
        scores: by protocol, in the order of the task.
        why_not: why there are none, in one line: the data are not on this machine, or have changed.
        dataset, answers: what was scored: the questions, and answer texts by their ids.
    """

    scores: Mapping[str, ScoresRecord]
    why_not: str = ""
    dataset: Dataset | None = None
    answers: Mapping[str, str] = field(default_factory=dict)


def rescore(folder: Path, intervals: bool = True) -> Rescored:
    """Score a run's answers anew, under every protocol of its task that reads text, and its own; a judge's grades count where it was asked so.

    Args:
        intervals: how sure the numbers are, too, which takes longer.
    """
    try:
        run = read_record(RunRecord, folder / "run.json")
        task, path = find_task(run.task), folder / "responses.jsonl"
        dataset = recorded_data(task, path)
        assert dataset is not None  # there is a run.json
        stored = read_stored_answers(task, dataset, [path])
        answers, measured = texts_of(stored), log_probabilities_of(stored)
        missing = [sample.id for sample in dataset.samples if sample.id not in answers]
        scores = {
            name: score_answers(task, name, dataset, answers, missing, read_judge(folder, name), intervals, measured)
            for name in dict.fromkeys([*task.text_protocols, run.protocol])
        }
    except UserError as error:
        return Rescored({}, " ".join(str(error).split()))
    return Rescored(scores, "", dataset, answers)
