"""The rows of a comparison table, before anything is formatted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from moe_eval.table.grid import Interval, Rank

__all__ = ["OFFICIAL", "Column", "Layout", "Row", "rank_rows"]

OFFICIAL = "official"
"""The `Row.data` of numbers that papers print: the questions, the prompts and the kind of scoring that they use."""

DECIMALS = 1  # of all numbers in tables, as papers print them


@dataclass(frozen=True)
class Column:
    """One column of numbers, and where they are found.

    Args:
        title: its heading, under `group`.
        published: (benchmark, split, metric) in `results/published.json`.
        measured: (task, path into its `scores.json`), such as ("pope", ("headline", "value")).
        higher_is_better: whether the best value is marked; False for what is neither good nor bad.
    """

    title: str
    group: str
    published: tuple[str, str, str]
    measured: tuple[str, tuple[str, ...]]
    higher_is_better: bool = True

    @property
    def name(self) -> str:
        return f"{self.group} {self.title}".strip()


@dataclass(frozen=True)
class Layout:
    """A kind of table: which numbers it shows.

    Args:
        title: of a table in which a row is about the questions that papers score.
        own_title: of any other; the same where it is empty.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    own_title: str = ""


@dataclass(frozen=True)
class Row:
    """One model in one kind of circumstances.

    Args:
        params_total, params_activated: of the language model, as papers print them.
        image_size: side of the picture in pixels.
        values: by column name; absent where there is no number.
        origin: who vouches for the numbers.
        remark: what must stand beside `origin`, such as "random weights".
        data: what a value is about, by column name: which questions, how asked and how scored; values with the same
            one can be compared.
        intervals: 95 % intervals of measured values, by column name.
        measures: what a measured value is called, by column name: `perception (max 1200)`.
        maxima: the best that a measured value can be, by column name, where it is not 100.
        doubted: names of columns whose value is published but cannot be right; it is shown, and never wins.
        notes: what a reader must know of the row.
        answered: by the task's title, in what circumstances its answers were made, and to which questions.
        value_notes: what a reader must know of one value, by column name.
        pending: names of columns whose number somebody else has to give first: a server, or a judge.
    """

    model: str
    llm: str | None
    params_total: float | None
    params_activated: float | None
    image_size: int | None
    values: Mapping[str, float]
    origin: Literal["measured", "published"]
    data: Mapping[str, str]
    remark: str = ""
    notes: tuple[str, ...] = ()
    answered: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    value_notes: Mapping[str, str] | None = None
    pending: frozenset[str] = frozenset()
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    measures: Mapping[str, str] = field(default_factory=dict)
    maxima: Mapping[str, float] = field(default_factory=dict)
    doubted: frozenset[str] = frozenset()

    @property
    def official(self) -> bool:
        """Whether all its numbers are about what papers score."""
        return set(self.data.values()) <= {OFFICIAL}

    @property
    def columns(self) -> set[str]:
        """Names of the columns that say something."""
        return {*self.values, *self.pending}


def rank_rows(rows: Sequence[Row], column: Column) -> dict[int, Rank]:
    """Indices of the rows with the best and second-best value of a column among comparable rows, at the precision of
    the tables: published values are rounded, and what prints equal is equal.

    Nothing is best where there is nothing to choose: a row without comparable ones, or all of them equal; nothing is
    second where it would be last, too.
    """
    ranks: dict[int, Rank] = {}
    if not column.higher_is_better:
        return ranks
    for data in {row.data.get(column.name) for row in rows}:
        values = {
            index: round(row.values[column.name], DECIMALS)
            for index, row in enumerate(rows)
            if column.name in row.values and row.data.get(column.name) == data and column.name not in row.doubted
        }
        distinct = sorted(set(values.values()), reverse=True)
        if len(distinct) > 1:
            ranks |= {index: "best" for index, value in values.items() if value == distinct[0]}
        if len(distinct) > 2:
            ranks |= {index: "second" for index, value in values.items() if value == distinct[1]}
    return ranks
