"""Any data set that the package `datasets` opens, from the hub or a folder, with the columns that a task's own has.

The benchmarks' own repositories are not read this way but as Parquet (`sources/hub.py`): `datasets` writes everything a
second time, as Arrow, pictures included (docs/evaluating.md has the measurement).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moe_eval.errors import UnreadableImageError, UserError, unknown
from moe_eval.images import EncodedImage
from moe_eval.sources.hub import NotInCacheError, is_only_cached
from moe_eval.sources.rows import Rows

if TYPE_CHECKING:
    import datasets

__all__ = ["DataSetRow", "hf_rows"]

ARGUMENT = re.compile(r"(?P<name>[^@:]+?)(?:@(?P<revision>[^:]+))?(?::(?P<split>[^:]+))?(?::(?P<config>[^:]+))?")


@dataclass(frozen=True)
class DataSetRow:
    """A row of a `datasets.Dataset`, whose pictures stay in its memory-mapped file until they are opened."""

    values: dict[str, Any]
    where: str
    data: "datasets.Dataset"
    number: int

    def picture(self, column: str, name: str) -> EncodedImage:
        """The picture in `column`, read when opened."""
        return EncodedImage(name, partial(_read_bytes, self.data, self.number, column, name))

    def has_picture(self, column: str) -> bool:
        """Whether `column` is not null."""
        return bool(self.data.data.column(column)[self.number].is_valid)


def hf_rows(
    task: str, argument: str, columns: Sequence[str], pictures: Sequence[str] = ("image",), split: str | None = None
) -> Rows:
    """The rows of a split of a data set, through `datasets` and its cache.

    Args:
        argument: what follows `hf:` on the command line: `ORG/NAME` or a folder, and then, each if wanted, `@REVISION`,
            `:SPLIT` and `:CONFIG`.
        columns: what is read of each row.
        pictures: columns that are read when a picture is opened.
        split: the one that is meant where none is named and there are several.

    Raises:
        UserError: for a data set that is not there or cannot be read, a split or column that it does not have.
        NotInCacheError: where nothing is to be downloaded, and it would have to be.
    """
    import datasets

    matched = ARGUMENT.fullmatch(argument)
    if not matched:
        raise UserError(f"{task}: hf:ORG/NAME[@REVISION][:SPLIT[:CONFIG]] is wanted, not hf:{argument}")
    name, revision = matched["name"], matched["revision"]
    try:
        builder = datasets.load_dataset_builder(
            name,
            matched["config"],
            revision=revision,
            download_config=datasets.DownloadConfig(local_files_only=is_only_cached()),
        )
        builder.download_and_prepare()
        found = builder.as_dataset()
    except Exception as error:  # of the hub, of the files, of a server: whatever `datasets` met
        if is_only_cached():
            raise NotInCacheError(name, str(datasets.config.HF_DATASETS_CACHE)) from error
        raise UserError(f"{task}: data set {name}: {type(error).__name__}: {_first_line(error)}") from error
    wanted = matched["split"] or (next(iter(found)) if len(found) == 1 else split) or ""
    if wanted not in found:
        raise unknown(f"split of {name}", wanted, list(found))
    data = found[wanted]
    missing = sorted({*columns, *pictures} - set(data.column_names))
    if missing:
        raise UserError(
            f"{task}: data set {name} has no column {', '.join(missing)} (it has {', '.join(data.column_names)}); "
            f"it must have the columns of the {task} data that `moe-eval list data` names"
        )
    for column in pictures:
        data = data.cast_column(column, datasets.Image(decode=False))
    commit = _commit(builder) or revision
    at = f"@{commit}" if commit else ""
    config = f":{matched['config']}" if matched["config"] else ""
    return Rows(f"hf:{name}{at}:{wanted}{config}", wanted, commit or "", _rows(task, name, data, columns))


def _rows(task: str, name: str, data: "datasets.Dataset", columns: Sequence[str]) -> Iterator[DataSetRow]:
    for number, values in enumerate(data.select_columns(list(columns))):
        yield DataSetRow(values, f"{task}: {name} row {number + 1}", data, number)


def _read_bytes(data: "datasets.Dataset", number: int, column: str, name: str) -> bytes:
    cell = data[number][column] or {}
    if cell.get("bytes"):
        return bytes(cell["bytes"])
    path = Path(cell["path"]) if cell.get("path") else None
    if path is None or not path.is_file():
        raise UnreadableImageError(name, f"row {number + 1} has no bytes in {column!r}")
    return path.read_bytes()


def _commit(builder: "datasets.DatasetBuilder") -> str | None:
    """The commit that the files are of: `datasets` names its cache by it. A folder has none."""
    return builder.hash if builder.repo_id and re.fullmatch("[0-9a-f]{40}", builder.hash or "") else None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no more is said")
