"""What the figures of scores share: rows of the tables, grouped so that only what can be compared meets in one figure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from moe_eval.figures.drawing import Sources
from moe_eval.runs.records import DataRecord, RunRecord, read_record
from moe_eval.table.build import build_rows
from moe_eval.table.rows import OFFICIAL, Column, Layout, Row

__all__ = ["Group", "display_name", "groups", "named_rows"]


@dataclass(frozen=True)
class Group:
    """Rows about the same questions.

    Args:
        data: the questions; None: those that papers score.
        suffix: for file names; "" for those that papers score.
    """

    rows: Sequence[Row]
    data: DataRecord | None
    suffix: str

    @property
    def title(self) -> str:
        """What stands behind a figure's title."""
        return f" ({self.data.source}, {self.data.samples:,} questions)" if self.data else ""


def groups(sources: Sources, layout: Layout, column: Column) -> Iterator[Group]:
    """The rows that have a number in a column, by the questions that it is about; numbers in doubt are left out."""
    asked = {record.data.fingerprint: record.data for record in _run_records(sources)}
    found: dict[str, list[Row]] = {}
    for row in build_rows(sources.runs, sources.numbers, layout):
        if column.name in row.values and column.name not in row.doubted:
            # Beside the fingerprint, `data` says how answers were made and scored; a figure may compare that.
            found.setdefault(row.data[column.name].split(" ")[0], []).append(row)
    taken: list[str] = []
    for fingerprint, rows in sorted(found.items(), key=lambda item: item[0] != OFFICIAL):
        data = asked.get(fingerprint)
        suffix = "" if data is None else data.source.partition(":")[0].partition("@")[0]
        taken.append(suffix)
        again = taken.count(suffix)
        yield Group(rows, data, f"{suffix}-{again}" if again > 1 else suffix)


def named_rows(rows: Sequence[Row]) -> list[tuple[str, Row]]:
    """Rows with names for people: published and measured rows of one model told apart, and so are its ablations."""
    found = []
    for row in rows:
        remarks = [row.remark] if row.remark else []
        if row.origin == "measured" and any(other.origin == "published" for other in rows):
            remarks.insert(0, "measured")
        found.append((display_name(row.model) + (f" ({', '.join(remarks)})" if remarks else ""), row))
    return found


def display_name(model: str) -> str:
    """A published name as short as a figure wants it.

    >>> display_name("MoE-LLaVA-2.7Bx4-Top2-384")
    'MoE-LLaVA-2.7B×4-384'
    """
    return model.replace("Bx4-Top2", "B×4")


def _run_records(sources: Sources) -> list[RunRecord]:
    return [read_record(RunRecord, folder / "run.json") for folder in sources.runs]
