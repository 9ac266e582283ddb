"""What stands above the samples: headline numbers with intervals, the breakdown, who ran what and when."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moe_eval.report.dots import DotPlot, plot_dots
from moe_eval.report.questions import QuestionSet
from moe_eval.report.runs import ReportRun
from moe_eval.scoring.headlines import explain_headlines, headline_maximum

__all__ = [
    "Headline",
    "Panel",
    "breakdown",
    "describe_runs",
    "headline_of",
    "headlines_in_words",
    "make_panel",
    "model_rows",
    "protocol_rows",
    "shared_notes",
]

Interval = tuple[float, float]


@dataclass(frozen=True)
class Headline:
    """The number of one run.

    Args:
        value: None while it is pending.
        by_server: a server gave it; nothing here was computed.
    """

    label: str
    value: float | None
    interval: Interval | None = None
    by_server: bool = False

    @property
    def text(self) -> str:
        return "pending" if self.value is None else f"{self.value:.2f}"

    @property
    def interval_text(self) -> str:
        return f"{self.interval[0]:.2f} to {self.interval[1]:.2f}" if self.interval else ""


@dataclass(frozen=True)
class Panel:
    """The headline numbers of a question set, on one scale."""

    title: str
    metric: str
    data: str
    headlines: tuple[Headline, ...]
    plot: DotPlot | None
    detectable: str

    @property
    def shows_intervals(self) -> bool:
        """Whether anything stands beside the numbers."""
        return any(headline.interval or headline.by_server for headline in self.headlines)


def make_panel(questions: QuestionSet) -> Panel:
    """Headlines of the runs in their order."""
    headlines = tuple(headline_of(run, label) for run, label in zip(questions.runs, questions.labels, strict=True))
    return Panel(
        title=questions.title,
        metric=questions.metric,
        data=questions.data,
        headlines=headlines,
        plot=plot_dots([(headline.value, headline.interval) for headline in headlines], _maximum(questions)),
        detectable=_detectable(questions),
    )


def _maximum(questions: QuestionSet) -> float:
    """The best that the headlines can be; infinite where nobody knows."""
    maximum = headline_maximum(questions.runs[0].scores)
    return maximum or (100.0 if questions.metric.endswith("(%)") else math.inf)


def headline_of(run: ReportRun, label: str) -> Headline:
    """The run's own number, or the one that a server gave."""
    value = run.scores.headline.value
    if value is None and run.recorded:
        return Headline(label, run.recorded.value, by_server=True)
    return Headline(label, value, _interval(run, "headline"))


def _interval(run: ReportRun, path: str) -> Interval | None:
    interval = run.scores.intervals.get(path)
    return (interval.low, interval.high) if interval else None


def _detectable(questions: QuestionSet) -> str:
    """The smallest difference that this much data can show, the larger one of the runs'."""
    found = [
        interval.minimum_detectable_difference
        for run in questions.runs
        if (interval := run.scores.intervals.get("headline")) and interval.minimum_detectable_difference is not None
    ]
    return f"{max(found):.2f}" if found else ""


def breakdown(questions: QuestionSet) -> list[tuple[str, list[tuple[float | None, Interval | None]]]]:
    """Every number of the runs' metrics: (dotted path, value and interval per run)."""
    leaves = [dict(_leaves(run.scores.metrics)) for run in questions.runs]
    paths = dict.fromkeys(path for of_run in leaves for path in of_run)
    return [
        (path, [(of_run.get(path), _interval(run, path)) for run, of_run in zip(questions.runs, leaves, strict=True)])
        for path in paths
    ]


def _leaves(metrics: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{before}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{before}{name}", value


def protocol_rows(questions: QuestionSet) -> list[tuple[str, str, list[float | None]]]:
    """(protocol, headline's name, value per run); empty where there is only one protocol."""
    rows = []
    for name in questions.protocols:
        scores = [run.by_protocol.get(name) for run in questions.runs]
        metric = next(one.metric for one in scores if one)
        rows.append((name, metric, [one.value if one else None for one in scores]))
    return rows if len(rows) > 1 else []


def headlines_in_words(questions: QuestionSet) -> list[str]:
    """What the protocols' headlines mean, where they mean different numbers."""
    return explain_headlines(questions.task, [metric for _, metric, _ in protocol_rows(questions)])


def shared_notes(sets: Iterable[QuestionSet]) -> list[tuple[str, list[str]]]:
    """Every note once, with what it is about: `POPE` where all runs of a question set have it, else `POPE: model`."""
    sets = list(sets)
    about: dict[str, list[str]] = {}
    alone = len({label for questions in sets for label in questions.labels}) == 1
    for questions in sets:
        notes = dict.fromkeys(note for run in questions.runs for note in run.notes)
        for note in notes:
            labels = [label for run, label in zip(questions.runs, questions.labels, strict=True) if note in run.notes]
            whole = alone or len(labels) == len(questions.runs) > 1
            places = [questions.title] if whole else [f"{questions.title}: {label}" for label in labels]
            about.setdefault(note, []).extend(places)
    return list(about.items())


def model_rows(runs: Iterable[ReportRun]) -> list[ReportRun]:
    """One run for each different model."""
    models = {(run.run.model.name, run.run.model.weights_fingerprint, run.run.model.dtype): run for run in runs}
    return list(models.values())


def describe_runs(questions: QuestionSet) -> list[tuple[str, list[tuple[str, str]]]]:
    """Per run its label and how its answers were made, as (what, text)."""
    return [(label, _facts(run)) for run, label in zip(questions.runs, questions.labels, strict=True)]


def _facts(run: ReportRun) -> list[tuple[str, str]]:
    record = run.run
    facts = [
        ("folder", str(run.folder)),
        ("data", f"{record.data.source}: {record.data.version} ({record.data.samples:,} questions)"),
        ("data fingerprint", record.data.fingerprint),
        ("protocol", record.protocol),
        ("backend", f"{record.model.backend}, {record.model.dtype}"),
        ("weights", record.model.weights_fingerprint),
    ]
    if record.generation:
        settings = record.generation.model_dump(exclude_none=True)
        facts.append(("generation", ", ".join(f"{name} {value}" for name, value in settings.items())))
    if record.prompt:
        facts.append(("a prompt", record.prompt.example))
    if record.origin:
        facts.append(("imported", f"{record.origin.imported}, {', '.join(file.path for file in record.origin.files)}"))
    facts += [(f"session {number}", _session(session)) for number, session in enumerate(record.sessions, start=1)]
    return facts


def _session(session: Any) -> str:
    """One process that worked on the run."""
    done = "did not end" if session.answered is None else f"{session.answered:,} answers in {session.seconds:,.0f} s"
    commit = f"commit {session.git_commit[:12]}" if session.git_commit else ""
    versions = ", ".join(f"{name} {version}" for name, version in session.versions.items())
    hardware = ", ".join(f"{name} {value}" for name, value in session.hardware.items())
    return "; ".join(part for part in (session.started, done, commit, versions, hardware) if part)


def dates(runs: Sequence[ReportRun]) -> str:
    """When the answers were made: a day, or from one to another; empty where no run says it."""
    days = sorted(day for run in runs for day in _days(run))
    return "" if not days else days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


def _days(run: ReportRun) -> list[str]:
    origin = [run.run.origin.imported[:10]] if run.run.origin else []
    return [*(session.started[:10] for session in run.run.sessions), *origin]
