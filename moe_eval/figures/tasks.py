"""All benchmarks of some models at a glance: a dot per model and benchmark, with its 95 % interval."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from moe_eval.figures.drawing import Drawing, Sources, file_name
from moe_eval.figures.scored import Group, groups, named_rows
from moe_eval.figures.style import PAGE, PALETTE, new_figure
from moe_eval.table.layouts import MAIN
from moe_eval.table.rows import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TaskRow", "draw", "drawings", "rows"]

MOST_MODELS = 8
MAXIMA = {"MME": 2000.0}
"""The best score on all of a benchmark, where it is not 100; a measured one says how much it is on its questions."""
SIZE = PAGE, 4.0
MARKERS = "osD^vPX<"


@dataclass(frozen=True)
class TaskRow:
    """One model on one benchmark.

    Args:
        value: in the benchmark's own units.
        maximum: the best score that there is on these questions.
        low, high: the 95 % interval of a measured value in the benchmark's own units, where there is one.
    """

    model: str
    benchmark: str
    value: float
    maximum: float
    low: float | None
    high: float | None
    origin: Literal["measured", "published"]

    def percent(self, value: float) -> float:
        """Of the best score."""
        return 100 * value / self.maximum


def drawings(sources: Sources) -> Iterable[Drawing]:
    own: list[tuple[str, list[TaskRow]]] = []
    for column in MAIN.columns:
        for group in groups(sources, MAIN, column):
            kind = group.suffix.partition("-")[0]
            suffix = "" if group.data is None else kind
            found = rows(group, column.name, column.title, bool(sources.runs))
            own.append((suffix, found))
    for suffix in dict.fromkeys(suffix for suffix, _ in own):
        points = [row for of, found in own if of == suffix for row in found]
        chosen = list(dict.fromkeys(row.model for row in points))[:MOST_MODELS]
        points = [row for row in points if row.model in chosen]
        if len(points) > 1:
            title = f"Scores by benchmark{f' ({suffix})' if suffix else ''}"
            yield Drawing(file_name("tasks", suffix), title, points, draw)


def rows(group: Group, column: str, title: str, with_runs: bool) -> list[TaskRow]:
    """Measured models and their published rows; without any run, the MoE-LLaVA models."""
    found = []
    for name, row in named_rows(group.rows):
        if row.origin == "measured" or (_has_twin(row, group.rows) if with_runs else row.model.startswith("MoE-LLaVA")):
            low, high = row.intervals.get(column, (None, None))
            maximum = row.maxima.get(column) or MAXIMA.get(title, 100.0)
            found.append(TaskRow(name, title, row.values[column], maximum, low, high, row.origin))
    return found


def _has_twin(row: Row, rows: Sequence[Row]) -> bool:
    """Whether a published row stands right behind a measured one, as the rows of tables do."""
    index = next(index for index, other in enumerate(rows) if other is row)
    return index > 0 and rows[index - 1].origin == "measured"


def draw(rows: Sequence[TaskRow]) -> "Figure":
    """Benchmarks below each other; models side by side within each, so that equal scores do not hide one another."""
    benchmarks = [column.title for column in MAIN.columns if any(row.benchmark == column.title for row in rows)]
    models = list(dict.fromkeys(row.model for row in rows))
    figure, (axes,) = new_figure(*SIZE)
    for index, model in enumerate(models):
        points = [row for row in rows if row.model == model]
        offset = 0.7 * ((index + 0.5) / len(models) - 0.5)
        places = [benchmarks.index(row.benchmark) + offset for row in points]
        colour = PALETTE[index % len(PALETTE)]
        for row, place in zip(points, places, strict=True):
            if row.low is not None and row.high is not None:
                axes.plot([row.percent(row.low), row.percent(row.high)], [place, place], color=colour, linewidth=0.9)
        axes.plot(
            [row.percent(row.value) for row in points],
            places,
            MARKERS[index % len(MARKERS)],
            color=colour,
            markersize=3.4,
            markerfacecolor=colour if points[0].origin == "measured" else "white",
            markeredgewidth=0.8,
            label=model,
        )
    axes.set_yticks(range(len(benchmarks)), [_name(benchmark, rows) for benchmark in benchmarks])
    axes.set_ylim(len(benchmarks) - 0.5, -0.5)
    axes.set_xlabel("score (% of the best possible)")
    for line in range(1, len(benchmarks)):
        axes.axhline(line - 0.5, color="#E3E3E3", linewidth=0.5)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper center", ncols=2 if max(map(len, models)) > 30 else 3)
    return figure


def _name(benchmark: str, rows: Sequence[TaskRow]) -> str:
    """With what 100 % is, where that is not 100."""
    maxima = dict.fromkeys(row.maximum for row in rows if row.benchmark == benchmark)
    odd = [f"{maximum:,.0f}" for maximum in maxima if maximum != 100]
    return f"{benchmark} (of {' or '.join(odd)})" if odd else benchmark
