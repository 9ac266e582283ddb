"""Rows of published numbers, with their sources; where sources contradict each other, the row says so."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from moe_eval.files.facts import read_facts
from moe_eval.table.rows import OFFICIAL, Column, Layout, Row

__all__ = ["PUBLISHED_FILE", "PublishedNumber", "contradictions", "number_text", "published_rows", "read_published"]

PUBLISHED_FILE = Path(str(files("moe_eval.results"))) / "published.json"


class PublishedNumber(BaseModel):
    """One number that somebody published.

    `value` is an integer where it was printed without decimals. `doubted`: it cannot be right, and `note` says why.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    llm: str | None
    params_total_b: float | None
    params_activated_b: float | None
    image_size: int | None
    benchmark: str
    split: str
    metric: str
    value: int | float
    source: str
    note: str | None = None
    doubted: bool = False

    @property
    def rounding(self) -> float:
        """Half a unit in the last printed decimal: how far the value may be from what was measured."""
        return 0.5 * 10.0 ** -_decimals(self.value)

    @property
    def cited(self) -> str:
        """The source without what the file says in brackets about how it was read."""
        return self.source.partition(" (")[0]

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is a number of: benchmark, split, metric."""
        return self.benchmark, self.split, self.metric


def read_published(path: Path = PUBLISHED_FILE) -> list[PublishedNumber]:
    """All published numbers, in the order of the file: of two sources, the first is the one shown.

    Raises:
        UserError: when the file is missing or an entry lacks a field.
    """
    return read_facts(PublishedNumber, path)


def published_rows(numbers: Sequence[PublishedNumber], layout: Layout) -> list[Row]:
    """One row per model that has a number in this layout."""
    columns = {column.published: column for column in layout.columns}
    of_model: dict[str, list[PublishedNumber]] = {}
    for number in numbers:
        if number.key in columns:
            of_model.setdefault(number.model, []).append(number)
    return [_row(model, entries, columns) for model, entries in of_model.items()]


def _row(model: str, entries: Sequence[PublishedNumber], columns: dict[tuple[str, str, str], Column]) -> Row:
    of_column: dict[Column, list[PublishedNumber]] = {}
    for entry in entries:
        of_column.setdefault(columns[entry.key], []).append(entry)
    shown = {column: candidates[0] for column, candidates in of_column.items()}
    by_source: dict[str, list[Column]] = {}
    for column in (column for column in columns.values() if column in shown):
        by_source.setdefault(shown[column].cited, []).append(column)
    value_notes = {
        column.name: note
        for column, candidates in of_column.items()
        if (note := _value_note(model, column, candidates))
    }
    return Row(
        model=model,
        llm=_first(entries, "llm"),
        params_total=_billions(_first(entries, "params_total_b")),
        params_activated=_billions(_first(entries, "params_activated_b")),
        image_size=_first(entries, "image_size"),
        values={column.name: number.value for column, number in shown.items()},
        origin="published",
        data=dict.fromkeys((column.name for column in shown), OFFICIAL),
        notes=tuple(f"{_name_columns(of)}: {source}" for source, of in by_source.items()),
        value_notes=value_notes,
        doubted=frozenset(column.name for column, number in shown.items() if number.doubted),
    )


def contradictions(candidates: Sequence[PublishedNumber]) -> list[PublishedNumber]:
    """Of several sources for one number, the first, and those that say something else."""
    shown, *others = candidates
    return [shown, *(other for other in others if not _agree(shown.value, other.value))]


def _value_note(model: str, column: Column, candidates: Sequence[PublishedNumber]) -> str:
    """The file's own remark on the number shown, and what other sources say instead."""
    shown, *different = contradictions(candidates)
    remarks = [shown.note] if shown.note else []
    if different:
        said = "; ".join(f"{number_text(other.value)} ({other.cited})" for other in different)
        remarks.append(f"{model}, {column.name}: {number_text(shown.value)} here ({shown.cited}), elsewhere {said}")
    return ". ".join(remarks)


def number_text(value: float) -> str:
    """Without zeros at the end."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _agree(one: float, other: float) -> bool:
    """Equal at the precision of the one with fewer decimals."""
    decimals = min(map(_decimals, (one, other)))
    return abs(one - other) <= 0.5 * 10**-decimals + 1e-9


def _decimals(value: float) -> int:
    return 0 if isinstance(value, int) else len(repr(value).partition(".")[2])


def _name_columns(columns: Sequence[Column]) -> str:
    """`adversarial, popular, random (Acc, F1, Yes)`, `mean F1`."""
    groups = list(dict.fromkeys(column.group for column in columns))
    titles = list(dict.fromkeys(column.title for column in columns))
    return columns[0].name if len(columns) == 1 else f"{', '.join(groups)} ({', '.join(titles)})"


def _first(entries: Sequence[PublishedNumber], field: str) -> Any:
    return next((value for entry in entries if (value := getattr(entry, field)) is not None), None)


def _billions(value: float | None) -> float | None:
    return None if value is None else value * 1e9
