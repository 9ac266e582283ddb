"""Rows of published numbers, with their sources; where sources contradict each other, the row says so."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from moe_eval.errors import UserError
from moe_eval.table.rows import Column, Layout, Row

__all__ = ["PUBLISHED_FILE", "PublishedNumber", "published_rows", "read_published"]

PUBLISHED_FILE = Path(__file__).parents[2] / "results" / "published.json"

OFFICIAL = "official"
"""The `data` of published rows: the questions that papers score."""


class PublishedNumber(BaseModel):
    """One number that somebody published."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    llm: str | None
    params_total_b: float | None
    params_activated_b: float | None
    image_size: int | None
    benchmark: str
    split: str
    metric: str
    value: float
    source: str
    note: str | None = None


def read_published(path: Path = PUBLISHED_FILE) -> list[PublishedNumber]:
    """All published numbers, in the order of the file: of two sources, the first is the one shown.

    Raises:
        UserError: when the file is missing or an entry lacks a field.
    """
    try:
        return TypeAdapter(list[PublishedNumber]).validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; it is part of the repository") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def published_rows(numbers: Sequence[PublishedNumber], layout: Layout) -> list[Row]:
    """One row per model that has a number in this layout."""
    columns = {column.published: column for column in layout.columns}
    of_model: dict[str, list[PublishedNumber]] = {}
    for number in numbers:
        if (number.benchmark, number.split, number.metric) in columns:
            of_model.setdefault(number.model, []).append(number)
    return [_row(model, entries, columns) for model, entries in of_model.items()]


def _row(model: str, entries: Sequence[PublishedNumber], columns: dict[tuple[str, str, str], Column]) -> Row:
    of_column: dict[Column, list[PublishedNumber]] = {}
    for entry in entries:
        of_column.setdefault(columns[entry.benchmark, entry.split, entry.metric], []).append(entry)
    shown = {column: candidates[0] for column, candidates in of_column.items()}
    by_source: dict[str, list[Column]] = {}
    for column in (column for column in columns.values() if column in shown):
        by_source.setdefault(shown[column].source, []).append(column)
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
    )


def _value_note(model: str, column: Column, candidates: Sequence[PublishedNumber]) -> str:
    """The file's own remark on the number shown, and what other sources say instead."""
    shown, *others = candidates
    different = [other for other in others if not _agree(shown.value, other.value)]
    remarks = [shown.note] if shown.note else []
    if different:
        said = "; ".join(f"{_number(other.value)} ({other.source})" for other in different)
        remarks.append(f"{model}, {column.name}: {_number(shown.value)} here ({shown.source}), elsewhere {said}")
    return ". ".join(remarks)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _agree(one: float, other: float) -> bool:
    """Equal at the precision of the one with fewer decimals."""
    decimals = min(len(repr(value).partition(".")[2]) for value in (one, other))
    return abs(one - other) <= 0.5 * 10**-decimals + 1e-9


def _name_columns(columns: Sequence[Column]) -> str:
    """`adversarial, popular, random (Acc, F1, Yes)`, `mean F1`."""
    groups = list(dict.fromkeys(column.group for column in columns))
    titles = list(dict.fromkeys(column.title for column in columns))
    return columns[0].name if len(columns) == 1 else f"{', '.join(groups)} ({', '.join(titles)})"


def _first(entries: Sequence[PublishedNumber], field: str) -> Any:
    return next((value for entry in entries if (value := getattr(entry, field)) is not None), None)


def _billions(value: float | None) -> float | None:
    return None if value is None else value * 1e9
