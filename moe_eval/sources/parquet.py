"""Parquet files with a picture column, read so that pictures stay on disk until they are opened."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from moe_eval.errors import UnreadableImageError, UserError
from moe_eval.images import EncodedImage

if TYPE_CHECKING:
    from pyarrow import ChunkedArray

__all__ = ["ParquetRow", "read_parquet"]


@dataclass(frozen=True)
class ParquetRow:
    """One row: its light columns, and where its heavy ones are; `number` counts in its file, from 1."""

    task: str
    values: dict[str, Any]
    path: Path
    row_group: int
    row: int
    number: int

    @property
    def where(self) -> str:
        """Task, file and row, for messages."""
        return f"{self.task}: {self.path} row {self.number}"

    def picture(self, column: str, name: str) -> EncodedImage:
        """The picture in `column` (the `datasets` layout: a struct with `bytes`), read when opened."""

        return EncodedImage(name, partial(_read_bytes, self.path, self.row_group, self.row, column, name))

    def has_picture(self, column: str) -> bool:
        """Whether `column` is not null, found without reading the pictures of its row group."""
        return _presence(self.path, self.row_group, column)[self.row]


def read_parquet(
    task: str, paths: Sequence[Path], columns: Sequence[str], heavy: Sequence[str] = ()
) -> Iterator[ParquetRow]:
    """All rows of the files in order, with the light `columns`; `heavy` columns must exist but are not read.

    Raises:
        UserError: for a file that is no Parquet file, or lacks a column.
    """
    import pyarrow as pa
    from pyarrow import parquet

    for path in paths:
        try:
            file = parquet.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise UserError(
                f"{path}: not a complete Parquet file ({_one_line(error)}); delete it and try again"
            ) from error
        missing = sorted({*columns, *heavy} - set(file.schema_arrow.names))
        if missing:
            raise UserError(
                f"{path}: no column {', '.join(missing)} (it has {', '.join(file.schema_arrow.names)}); "
                "is it another revision of the data?"
            )
        number = 0
        for group in range(file.num_row_groups):
            try:
                rows = file.read_row_group(group, columns=list(columns)).to_pylist()
            except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
                raise UserError(f"{path}: damaged ({_one_line(error)}); delete it and try again") from error
            for index, values in enumerate(rows):
                number += 1
                yield ParquetRow(task, values, path, group, index, number)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _read_bytes(path: Path, group: int, row: int, column: str, name: str) -> bytes:
    import pyarrow as pa

    try:
        cell = _row_group_column(path, group, column)[row].as_py()
    except (OSError, pa.ArrowException) as error:
        raise UnreadableImageError(name, f"{path.name} is damaged ({_one_line(error)})") from error
    if not isinstance(cell, dict) or not cell.get("bytes"):
        raise UnreadableImageError(name, f"row {row} of {path.name} has no bytes in {column!r}")
    return cell["bytes"]


@lru_cache(maxsize=4)
def _presence(path: Path, group: int, column: str) -> list[bool]:
    """Whether each row of a row group has something in a picture column: told from its light field, `path`."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        column_paths = parquet.ParquetFile(path).read_row_group(group, columns=[f"{column}.path"])[column]
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: damaged ({_one_line(error)}); delete it and try again") from error
    return column_paths.is_valid().to_pylist()


_lock = Lock()


def _row_group_column(path: Path, group: int, column: str) -> "ChunkedArray":
    """One column of one row group; the last few stay in memory, because neighbours are asked for next."""
    with _lock:  # readers are threads: without it, each of them would read the same row group
        return _cached_column(path, group, column)


@lru_cache(maxsize=4)
def _cached_column(path: Path, group: int, column: str) -> "ChunkedArray":
    from pyarrow import parquet

    return parquet.ParquetFile(path).read_row_group(group, columns=[column])[column]
