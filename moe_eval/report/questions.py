"""The questions of a report with the answers of every run to them side by side, ready for the page's sample browser.

Runs that were asked the same (task and data fingerprint) form one question set. What the browser filters by comes as
columns, small and read at once; what it shows comes in blocks of rows, read when somebody looks.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moe_eval.report.encoding import pack
from moe_eval.report.labels import run_labels
from moe_eval.report.paths import read_paths
from moe_eval.report.pictures import Album
from moe_eval.report.runs import ReportRun
from moe_eval.scoring.headlines import headline_name
from moe_eval.task import Dataset, Sample

__all__ = ["BLOCK", "QuestionSet", "gold_text", "group_runs", "pack_set"]

BLOCK = 500
"""Samples per block."""

SHOWN_ELSEWHERE = {"id", "group", "gold", "prediction", "correct", "score"}
"""Fields of a sample's scores that have a place of their own; the others are its facts."""

DIRECTION_MARKS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]{8,}")


@dataclass(frozen=True)
class QuestionSet:
    """Runs that were asked the same questions.

    Args:
        runs: at least one.
        labels: what each is called on the page, different from each other.
    """

    runs: tuple[ReportRun, ...]
    labels: tuple[str, ...]

    @property
    def title(self) -> str:
        return self.runs[0].title

    @property
    def task(self) -> str:
        return self.runs[0].run.task

    @property
    def metric(self) -> str:
        """What the headline is called, with the maximum that it has on these questions."""
        return " / ".join(dict.fromkeys(headline_name(run.scores) for run in self.runs))

    @property
    def data(self) -> str:
        """Which questions, for people."""
        return self.runs[0].run.data.version

    @property
    def samples(self) -> dict[str, Sample]:
        """Of the data, by id."""
        return {sample.id: sample for sample in self.dataset.samples} if self.dataset else {}

    @property
    def dataset(self) -> Dataset | None:
        """What was asked, as long as one of the runs still finds it."""
        return next((run.dataset for run in self.runs if run.dataset), None)

    @property
    def ids(self) -> list[str]:
        """Of all questions, in the order of the data."""
        if self.dataset:
            return [sample.id for sample in self.dataset.samples]
        return list(
            dict.fromkeys(
                name for run in self.runs for name in [*run.by_protocol[run.run.protocol].worths, *run.answers]
            )
        )

    @property
    def protocols(self) -> list[str]:
        """All that any of the runs is scored under, those of the runs themselves first."""
        own = [run.run.protocol for run in self.runs]
        return list(dict.fromkeys([*own, *(name for run in self.runs for name in run.by_protocol)]))


def group_runs(runs: Iterable[ReportRun]) -> list[QuestionSet]:
    """Question sets, by task and then in the order of the runs."""
    runs = list(runs)
    groups: dict[tuple[str, str], list[tuple[ReportRun, str]]] = {}
    for run, label in zip(runs, run_labels(runs), strict=True):
        groups.setdefault((run.run.task, run.run.data.fingerprint), []).append((run, label))
    ordered = sorted(groups.items(), key=lambda item: item[0][0])
    return [QuestionSet(*(tuple(part) for part in zip(*group, strict=True))) for _, group in ordered]


def pack_set(questions: QuestionSet, album: Album, limit_images: int) -> dict[str, Any]:
    """What the page needs of a question set: facts, the packed columns, and the packed blocks of rows."""
    ids, samples = questions.ids, questions.samples
    pictures = _pictures(questions, album, limit_images)
    worths = [[_column(run, name, ids) for name in questions.protocols] for run in questions.runs]
    rows = list(_rows(questions, ids, samples, pictures))
    paths = [read_paths(run.folder) for run in questions.runs]
    return {
        "title": questions.title,
        "task": questions.task,
        "data": questions.data,
        "runs": list(questions.labels),
        "asked": [run.run.protocol for run in questions.runs],
        "protocols": questions.protocols,
        "size": len(ids),
        "block": BLOCK,
        "paths": any(paths),
        "columns": pack({"worths": worths}),
        "blocks": _pack_blocks(rows),
        "path_blocks": _pack_blocks([[of_run.get(name) for of_run in paths] for name in ids]) if any(paths) else [],
    }


def _column(run: ReportRun, protocol: str, ids: Sequence[str]) -> list[float | None]:
    scored = run.by_protocol.get(protocol)
    return [scored.worths.get(name) if scored else None for name in ids]


def _pack_blocks(rows: Sequence[Any]) -> list[str]:
    return [pack(rows[start : start + BLOCK]) for start in range(0, len(rows), BLOCK)]


def _pictures(questions: QuestionSet, album: Album, limit: int) -> dict[str, list[int | None]]:
    """Numbers of the pictures in the album, by sample id."""
    dataset = questions.dataset
    if dataset is None or not dataset.has_images:
        return {}
    numbers = album.add(dataset.samples, limit)
    return {sample.id: of_sample for sample, of_sample in zip(dataset.samples, numbers, strict=True)}


def _rows(
    questions: QuestionSet,
    ids: Sequence[str],
    samples: Mapping[str, Sample],
    pictures: Mapping[str, list[int | None]],
) -> Iterator[dict[str, Any]]:
    """One per question; names are short enough, for the blocks are compressed."""
    entries = [{str(entry["id"]): entry for entry in run.scores.samples} for run in questions.runs]
    for name in ids:
        sample = samples.get(name)
        own = [of_run.get(name, {}) for of_run in entries]
        yield {
            "id": name,
            "group": sample.group if sample else next((str(e["group"]) for e in own if "group" in e), ""),
            "question": sample.question if sample else "",
            "prompts": _prompts(questions, sample),
            "gold": gold_text(sample.gold if sample else None, own),
            "facts": _facts(own),
            "pictures": pictures.get(name, []),
            "names": [image.name for image in sample.images] if sample else [],
            "answers": [_drawable(run.answers.get(name)) for run in questions.runs],
            "readings": [_reading(entry) for entry in own],
        }


def _prompts(questions: QuestionSet, sample: Sample | None) -> dict[str, list[int]]:
    """Which runs were asked in which words."""
    asked: dict[str, list[int]] = {}
    if sample is None:
        return asked
    from moe_eval.registry import find_task

    protocols = find_task(questions.task).protocols
    for index, run in enumerate(questions.runs):
        if run.run.protocol in protocols:
            asked.setdefault(protocols[run.run.protocol].prompt(sample), []).append(index)
    return asked


def _facts(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all runs say of the question itself, such as its category; what differs is about an answer."""
    facts: dict[str, Any] = {}
    for entry in filter(None, entries):
        for name, value in entry.items():
            if name not in SHOWN_ELSEWHERE and all(value == other.get(name, value) for other in entries):
                facts[name] = value
    return facts


def _reading(entry: Mapping[str, Any]) -> str | None:
    """What the scorer understood."""
    return None if "prediction" not in entry else str(entry["prediction"])


def gold_text(gold: Any, entries: Iterable[Mapping[str, Any]] = ()) -> str | None:
    """The reference as text; None where it is hidden.

    >>> gold_text(("cat", "cat", "dog"))
    'cat (2), dog (1)'
    """
    if gold is None:
        gold = next((entry["gold"] for entry in entries if "gold" in entry), None)
    if isinstance(gold, tuple | list):
        return ", ".join(f"{answer} ({gold.count(answer)})" for answer in dict.fromkeys(gold))
    return None if gold is None else str(gold)


def _drawable(answer: str | None) -> str | None:
    """An answer that browsers can draw: thousands of marks that turn the direction of writing keep them busy for minutes."""
    return answer and DIRECTION_MARKS.sub(lambda marks: f"[{len(marks[0]):,} direction marks]", answer)
