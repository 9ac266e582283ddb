"""What a run's answers are worth before it is finished: scored by the task itself, over whole groups of questions."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from moe_eval.judge.record import JudgeRecord
from moe_eval.registry import find_task
from moe_eval.runs.journal import recorded_log_probabilities
from moe_eval.runs.records import DataRecord, RunRecord, ScoresRecord
from moe_eval.scoring.score import score_answers
from moe_eval.task import Dataset, Sample, answer_ids, worth

__all__ = ["asked_of", "newest_answers", "samples_by_answer", "score_so_far"]

NEWEST = 6
"""Answers that the page shows of a run."""

Lines = Mapping[str, Mapping[str, Any]]
"""Lines of a journal by id."""


def asked_of(run: RunRecord) -> DataRecord:
    """All that a run is asked; of a shard, what all shards together are."""
    return run.shard.whole if run.shard else run.data


def score_so_far(run: RunRecord, dataset: Dataset, lines: Lines, judge: JudgeRecord | None) -> ScoresRecord | None:
    """Scores with intervals; None before the first group of questions is answered.

    Questions of a group, such as MME's pairs, are worth something together, so a group counts once it is whole.

    Raises:
        UserError: when the task or its protocol is not there, or the answers cannot be scored.
    """
    drawn = _drawn(run)
    open_groups = {s.group for s in dataset.samples if any(key not in lines for key in answer_ids(s.id, drawn))}
    whole = [sample for sample in dataset.samples if sample.group not in open_groups]
    if not whole:
        return None
    known = {key: lines[key] for sample in whole for key in answer_ids(sample.id, drawn)}
    measured = {key: found for key, line in known.items() if (found := recorded_log_probabilities(line)) is not None}
    return score_answers(
        find_task(run.task),
        run.protocol,
        replace(dataset, samples=whole, official=False),
        {key: line["response"] for key, line in known.items()},
        judge=judge,
        log_probabilities=measured,
        drawn=drawn,
    )


def samples_by_answer(run: RunRecord, dataset: Dataset) -> dict[str, Sample]:
    """What each answer's id is about."""
    return {key: sample for sample in dataset.samples for key in answer_ids(sample.id, _drawn(run))}


def newest_answers(run: RunRecord, samples: Mapping[str, Sample], lines: Lines) -> list[dict[str, Any]]:
    """The last lines, newest first, as the page shows them.

    Args:
        samples: by the answers' ids, where the data have been loaded: what was asked and the answer's worth are told, too.
    """
    return [_shown(run, samples.get(line["id"]), line) for line in list(lines.values())[-NEWEST:][::-1]]


def _shown(run: RunRecord, sample: Sample | None, line: Mapping[str, Any]) -> dict[str, Any]:
    shown = {"id": line["id"], "answer": line["response"]}
    if sample is None:
        return shown
    way = find_task(run.task).protocol(run.protocol)
    return {
        **shown,
        "question": sample.question or way.prompt(sample),
        "pictures": len(sample.images),
        # Where given answers are measured, the text alone does not say what it is worth.
        "worth": None if way.continuations else worth(way.score(sample, line["response"])),
    }


def _drawn(run: RunRecord) -> int | None:
    return run.generation.samples if run.generation else None
