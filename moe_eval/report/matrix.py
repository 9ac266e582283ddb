"""What stands on top of the report: all headline numbers, models by benchmarks, and which differ by more than chance."""

from collections.abc import Sequence
from dataclasses import dataclass

from moe_eval.comparison.standings import ALPHA, Standing, standings
from moe_eval.report.questions import QuestionSet
from moe_eval.report.runs import ReportRun
from moe_eval.report.summary import Headline, headline_of
from moe_eval.runs.stored_run import StoredRun
from moe_eval.scoring.headlines import headline_maximum

__all__ = ["Matrix", "MatrixCell", "MatrixColumn", "make_matrix"]


@dataclass(frozen=True)
class MatrixColumn:
    """A question set.

    Args:
        unit: what the numbers are out of: `%`, `of 1,200`.
        data: which questions, where another column is of the same benchmark; else "".
        about: all of it, for who points at it.
    """

    title: str
    unit: str
    data: str
    about: str


@dataclass(frozen=True)
class MatrixCell:
    """The number of one run, and how it stands against the best of its column."""

    headline: Headline
    standing: Standing

    @property
    def margin(self) -> str:
        """Half of the 95 % interval."""
        interval = self.headline.interval
        return f"±{(interval[1] - interval[0]) / 2:.1f}" if interval else ""

    @property
    def words(self) -> str:
        """How it stands, for who points at it or cannot see the sign."""
        if self.standing.why_not:
            return f"not compared: {self.standing.why_not}"
        words = {"best": "best", "level": "cannot be told apart from the best", "worse": "worse than the best", "": ""}
        p_value = self.standing.p_value
        return words[self.standing.verdict] + ("" if p_value is None else f" (p = {p_value:.3g})")


@dataclass(frozen=True)
class Matrix:
    """Rows are models in one setting: label, and a cell or None per column.

    Args:
        compared: how many pairs were tested.
        kinds: verdicts that occur.
    """

    columns: tuple[MatrixColumn, ...]
    rows: tuple[tuple[str, tuple[MatrixCell | None, ...]], ...]
    compared: int
    kinds: frozenset[str]
    alpha: float = ALPHA


def make_matrix(sets: Sequence[QuestionSet]) -> Matrix:
    """All headlines."""
    stands = standings([[StoredRun(run.folder, run.run, run.scores) for run in one.runs] for one in sets])
    cells: dict[str, dict[int, MatrixCell]] = {}
    for column, (questions, of_set) in enumerate(zip(sets, stands, strict=True)):
        for run, label, standing in zip(questions.runs, questions.labels, of_set, strict=True):
            cells.setdefault(label, {})[column] = MatrixCell(headline_of(run, label), standing)
    titles = [questions.title for questions in sets]
    flat = [standing for of_set in stands for standing in of_set]
    return Matrix(
        columns=tuple(_column(questions, titles.count(questions.title) > 1) for questions in sets),
        rows=tuple(
            (label, tuple(of_row.get(column) for column in range(len(sets)))) for label, of_row in cells.items()
        ),
        compared=sum(standing.p_value is not None for standing in flat),
        kinds=frozenset(standing.verdict for standing in flat if standing.verdict),
    )


def _column(questions: QuestionSet, several: bool) -> MatrixColumn:
    source = questions.runs[0].run.data.source
    return MatrixColumn(
        questions.title, _unit(questions.runs[0]), source if several else "", f"{questions.metric}, {questions.data}"
    )


def _unit(run: ReportRun) -> str:
    maximum = headline_maximum(run.scores)
    return "%" if maximum is None else f"of {maximum:,.0f}"
