"""Aggregates written in totals: one function for the numbers of a data set and of ten thousand resampled ones.

What benchmarks print are functions of sums over answers: shares, F1 scores, sums of percentages. A task's aggregate that is marked
`@of_totals` takes every sum from `Scores.total` and goes on from there with + - * / and **. Sums are plain numbers when a
data set is scored. For intervals the same code gets arrays in their place, one element per resampled data set, and gives
arrays (`moe_eval.statistics.resampling`).

Which answers are added up may depend on what was asked (category, picture, gold), never on a sum: `if total:` fails for
arrays. Importing this imports no numpy.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import fsum
from typing import Any, Generic, Protocol, TypeVar, overload

from moe_eval.task import Result, SampleScore

__all__ = ["Number", "OfTotals", "RunOnce", "Scores", "Summation", "of_totals", "ratio"]

Number = Any
"""A number, or an array of one per resampled data set."""

Row = TypeVar("Row")
Other = TypeVar("Other")
Key = TypeVar("Key", bound=Hashable)


class Summation(Protocol):
    """How values are added up.

    Args:
        places: where in the data set the answers stand that the values belong to.
        values: of these answers; an iterator that may be left alone.
    """

    def __call__(self, places: Sequence[int], values: Iterator[float]) -> Number: ...


def exact_sum(places: Sequence[int], values: Iterator[float]) -> float:
    """The sum, which does not depend on the order: an int of ints, else correctly rounded."""
    listed = list(values)
    total = sum(listed)
    return total if isinstance(total, int) else fsum(listed)


class Scores(Sequence[Row], Generic[Row]):
    """Scores of answers that can be selected, put together and added up.

    Args:
        rows: what is added up: scores of single answers, or tuples of those that belong together.
        places: where in the data set each row stands, for tuples the first of them.
        add: how values are added up.
    """

    def __init__(self, rows: Sequence[Row], places: Sequence[int] | None = None, add: Summation = exact_sum):
        self._rows = rows
        self._places = range(len(rows)) if places is None else places
        self._add = add

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Scores[Row]":
        """Rows as scores that are simply added up, if they are not scores already."""
        return rows if isinstance(rows, cls) else cls(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        return self._rows[index]

    def total(self, value: str | Callable[[Row], float]) -> Number:
        """The sum of a value over all rows: of the field of that name, or of what the function gives."""
        if isinstance(value, str):
            return self._add(self._places, (row[value] for row in self._rows))  # type: ignore[index]
        return self._add(self._places, map(value, self._rows))

    def how_many(self) -> Number:
        """How many rows there are, in resampled data as often as they were drawn."""
        return self._add(self._places, (1 for _ in self._rows))

    def where(self, keep: Callable[[Row], Any]) -> "Scores[Row]":
        """The rows for which `keep` is true."""
        return self._select([number for number, row in enumerate(self._rows) if keep(row)])

    def map(self, change: Callable[[Row], Other]) -> "Scores[Other]":
        """The same with each row changed."""
        return Scores([change(row) for row in self._rows], self._places, self._add)

    def expand(self, change: Callable[[Row], Iterable[Other]]) -> "Scores[Other]":
        """The same with several rows, or none, instead of each."""
        pairs = [(new, place) for row, place in zip(self._rows, self._places, strict=True) for new in change(row)]
        return Scores([new for new, _ in pairs], [place for _, place in pairs], self._add)

    def by(self, key: Callable[[Row], Key]) -> "dict[Key, Scores[Row]]":
        """The rows by what `key` gives for them, in the order in which that first occurs."""
        return {name: self._select(members) for name, members in self._partition(key).items()}

    def together(self, key: Callable[[Row], Hashable]) -> "Scores[tuple[Row, ...]]":
        """Rows with the same key as one row, such as the two questions about a picture.

        They must be of one group of the data, since groups are what is drawn.
        """
        members = list(self._partition(key).values())
        rows = [tuple(self._rows[number] for number in numbers) for numbers in members]
        return Scores(rows, [self._places[numbers[0]] for numbers in members], self._add)

    def _partition(self, key: Callable[[Row], Key]) -> dict[Key, list[int]]:
        members: dict[Key, list[int]] = {}
        for number, row in enumerate(self._rows):
            members.setdefault(key(row), []).append(number)
        return members

    def _select(self, numbers: Sequence[int]) -> "Scores[Row]":
        return Scores([self._rows[n] for n in numbers], [self._places[n] for n in numbers], self._add)


@dataclass(frozen=True)
class OfTotals:
    """An aggregate that is written in totals; called like any other, it gives the numbers of the scores."""

    function: Callable[[Scores[SampleScore]], Result]

    def __call__(self, scores: Sequence[SampleScore]) -> Result:
        return self.function(Scores.of(scores))


@dataclass(frozen=True)
class RunOnce:
    """An aggregate that is not to be run hundreds of times: it is slow, prints or writes files."""

    function: Callable[[Sequence[SampleScore]], Result]

    def __call__(self, scores: Sequence[SampleScore]) -> Result:
        return self.function(scores)


def of_totals(function: Callable[[Scores[SampleScore]], Result]) -> OfTotals:
    """Marks an aggregate as written in totals, so that its intervals are computed with arrays.

    Of several answers to each question (`sample` in a score: which of them) it gives the mean of what it gives of the
    first answers, of the second, and so on. Whole groups of questions are drawn for intervals, with all answers to them, so
    that intervals hold the variance over answers as well.
    """
    return OfTotals(partial(_of_each_sample, function))


def _of_each_sample(function: Callable[[Scores[SampleScore]], Result], scores: Scores[SampleScore]) -> Result:
    if not scores or "sample" not in scores[0]:
        return function(scores)
    results = [function(some) for some in scores.by(lambda score: score["sample"]).values()]
    return Result(_mean([result.headline for result in results]), _mean([result.metrics for result in results]))


def _mean(values: Sequence[Any]) -> Any:
    """Of numbers, and inside mappings of every entry; None where one is; of anything else, the first."""
    if isinstance(values[0], Mapping):
        return {name: _mean([value[name] for value in values]) for name in values[0] if all(name in v for v in values)}
    if any(value is None for value in values):
        return None
    if isinstance(values[0], str) or (isinstance(values[0], int) and len(set(values)) == 1):
        return values[0]
    return sum(values[1:], start=values[0]) / len(values)


def ratio(part: Number, whole: Number) -> Number:
    """`part / whole`, and 0 where the whole is 0, and with it the part."""
    return part / (whole + (whole == 0))
