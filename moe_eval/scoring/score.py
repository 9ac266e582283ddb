"""From answers to scores: joined by id, scored by the task, pure."""

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType

from moe_eval.errors import UserError
from moe_eval.judge.record import JudgeRecord, with_grades
from moe_eval.runs.records import DataRecord, HeadlineRecord, IntervalMethodRecord, IntervalRecord, ScoresRecord
from moe_eval.scoring.likelihood import with_log_probabilities
from moe_eval.task import Dataset, SampleScore, Task, TaskProtocol, answer_ids

__all__ = ["score_answers"]


def score_answers(
    task: Task,
    protocol_name: str,
    dataset: Dataset,
    answers: Mapping[str, str],
    missing: Sequence[str] = (),
    judge: JudgeRecord | None = None,
    intervals: bool = True,
    log_probabilities: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
    drawn: int | None = None,
) -> ScoresRecord:
    """Scores of the answers to a data set.

    Args:
        answers: answer text by sample id; every sample has one, except those in `missing`.
        missing: ids of samples that may lack an answer; they are left out and listed in the result.
        judge: grades of the answers, for a protocol that needs them; without, such a score is pending.
        intervals: how sure the numbers are; takes longer than the numbers themselves.
        log_probabilities: of the answers that could be given, by sample id, for a protocol that needs them.
        drawn: how many answers to each question there are, by `moe_eval.task.answer_ids`; None: one, by the sample's id.

    Raises:
        UserError: when a sample has no answer and is not in `missing`, nothing is left to score, or log-probabilities that
            the protocol needs are missing.
    """
    protocol = task.protocol(protocol_name)
    asked = [
        (key, number, sample)
        for sample in dataset.samples
        for number, key in enumerate(answer_ids(sample.id, drawn), start=1)
    ]
    absent = [key for key, _, _ in asked if key not in answers]
    unexpected = sorted(set(absent) - set(missing))
    if unexpected:
        raise UserError(
            f"{task.name}: {len(unexpected)} of {len(asked)} questions have no answer, such as "
            f"{unexpected[0]}; answer them, or use --allow-missing to leave them out"
        )
    known = [(key, number, sample) for key, number, sample in asked if key in answers]
    answered = [sample for _, _, sample in known]
    if not answered:
        raise UserError(f"{task.name}: not one of the {len(dataset.samples)} questions has an answer")
    answered = with_grades(answered, answers, judge)
    if protocol.continuations:
        answered = with_log_probabilities(task.name, protocol_name, protocol.continuations, answered, log_probabilities)
    scores = [
        {**({"sample": number} if drawn else {}), **protocol.score(sample, answers[key])}
        for (key, number, _), sample in zip(known, answered, strict=True)
    ]
    result = protocol.aggregate(scores)
    samples = [
        {"id": key, "group": sample.group, **_storable(values)}
        for (key, _, sample), values in zip(known, scores, strict=True)
    ]
    by_path, method = _intervals(protocol, samples, dataset) if intervals else ({}, None)
    record = ScoresRecord(
        task=task.name,
        protocol=protocol_name,
        data=DataRecord.of(dataset),
        headline=HeadlineRecord(name=protocol.headline, value=result.headline),
        metrics=dict(result.metrics),
        intervals=by_path,
        interval_method=method,
        judge=judge.name if judge else None,
        missing=absent,
        empty=sum(not text.strip() for text in answers.values()),
        samples=samples,
    )
    return record.sealed()


def _intervals(
    protocol: TaskProtocol, samples: Sequence[SampleScore], dataset: Dataset
) -> tuple[dict[str, IntervalRecord], IntervalMethodRecord | None]:
    from moe_eval.statistics.intervals import intervals_of  # numpy, which `--help` can do without

    stretch = dataset.stopping.stretch if dataset.stopping else 1.0
    return intervals_of(samples, protocol.aggregate, partial(protocol.maximum_of, samples), stretch=stretch)


def _storable(values: SampleScore) -> SampleScore:
    """Half a surrogate pair, which a broken answer may hold, is no text that can be written: `\\ud800` instead."""
    if all(value.isascii() for value in values.values() if isinstance(value, str)):
        return values
    return {
        name: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for name, value in values.items()
    }
