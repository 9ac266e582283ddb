"""VLMEvalKit's TSV files: a row per question, pictures as base64 text in the row, or in an earlier row of the file.

Pictures are most of such a file. They are checked and skipped when it is read, and decoded from their place on
disk when they are opened.
"""

import base64
import codecs
import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe_eval.errors import UnreadableImageError, UserError
from moe_eval.images import EncodedImage, ImageFile, ImageRef

__all__ = ["MISSING", "TsvRow", "read_tsv"]

MISSING = frozenset(
    "#N/A,#N/A N/A,#NA,-1.#IND,-1.#QNAN,-NaN,-nan,1.#IND,1.#QNAN,<NA>,N/A,NA,NULL,NaN,None,n/a,nan,null,".split(",")
)
"""Cells that hold nothing, as pandas has it, with which LLaVA and VLMEvalKit read these files."""

LONGEST_REFERENCE = 64
"""An `image` cell of at most so many characters is the index of the row that holds the picture."""


@dataclass(frozen=True)
class TsvRow:
    """One row: its light cells (None where nothing is), its picture, and the line where it starts."""

    line: int
    values: dict[str, str | None]
    image: ImageRef

    def text(self, column: str) -> str:
        """The cell, or "" where nothing is."""
        return self.values.get(column) or ""


@dataclass(frozen=True)
class _Span:
    """Where a row lies in its file, in bytes."""

    start: int
    end: int


def read_tsv(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> list[TsvRow]:
    """All rows in order, with the cells of `columns`, and of `optional` where the file has them.

    The picture is in column `image` (base64, or the `index` of another row), or else in a file that `image_path`
    names, relative to the TSV.

    Raises:
        UserError: naming the file, and the row and the column where there is one: no TSV, a missing column, a row of
            another length, an index that occurs twice, an empty required cell, a picture that is nowhere.
    """
    if not path.name:
        raise UserError("tsv needs a file: --data tsv:FILE")
    required = list(dict.fromkeys(["index", *columns]))
    rows: list[tuple[int, dict[str, str | None], str]] = []
    spans: dict[str, _Span] = {}
    lines: dict[str, int] = {}
    position: dict[str, int] = {}
    for line, span, cells in _rows(path):
        if not position:
            position = _header(path, cells, required)
            wanted = [name for name in (*required, *optional, "image_path") if name in position]
            continue
        if len(cells) != len(position):
            raise UserError(f"{path} line {line}: {len(cells)} cells, but the header names {len(position)} columns")
        values = {name: _cell(cells[position[name]]) for name in wanted}
        index = values["index"]
        empty = [name for name in required if values[name] is None]
        if index is None or empty:
            raise UserError(f"{path} line {line}: column {empty[0]} is empty")
        if index in lines:
            raise UserError(f"{path} line {line}: index {index} is in line {lines[index]} already")
        lines[index] = line
        picture = cells[position["image"]] if "image" in position else ""
        reference = picture
        if len(picture) > LONGEST_REFERENCE:
            reference, spans[index] = index, span
        rows.append((line, values, reference))
    if not position:
        raise UserError(f"{path}: empty; a TSV starts with a line of column names")
    column = position.get("image", -1)
    return [
        TsvRow(line, values, _image(path, line, values, reference, spans, column)) for line, values, reference in rows
    ]


def _image(
    path: Path, line: int, values: dict[str, Any], reference: str, spans: dict[str, _Span], column: int
) -> ImageRef:
    if reference:
        if reference not in spans:
            raise UserError(
                f"{path} line {line}: column image refers to row {reference!r}, and no row of that index holds a picture"
            )
        return EncodedImage(reference, lambda: _decode(path, spans[reference], reference, column))
    if values.get("image_path"):
        return ImageFile(path.parent / values["image_path"], path.parent)
    raise UserError(f"{path} line {line}: column image is empty")


def _decode(path: Path, span: _Span, index: str, column: int) -> bytes:
    """The picture of the row in that place, as encoded bytes."""
    try:
        with path.open("rb") as stream:
            stream.seek(span.start)
            text = stream.read(span.end - span.start).decode("utf-8")
        cell = next(_parse(iter([text])))[column]
        return base64.b64decode(cell, validate=True)
    except (OSError, StopIteration, IndexError, ValueError, csv.Error) as error:
        raise UnreadableImageError(f"{path.name} row {index}", f"column image is no base64 ({error})") from error


def _header(path: Path, names: Sequence[str], required: Sequence[str]) -> dict[str, int]:
    missing = [name for name in required if name not in names]
    if not {"image", "image_path"} & set(names):
        missing.append("image")
    if missing:
        raise UserError(
            f"{path}: no column {', '.join(missing)} (it has {', '.join(names)[:300]}); is it the TSV of another task?"
        )
    return {name: number for number, name in enumerate(names)}


def _rows(path: Path) -> Iterator[tuple[int, _Span, list[str]]]:
    """(first line, place, cells) of each row; quoted cells may span lines."""
    try:
        with path.open("rb") as stream:
            lines = _Lines(stream)
            start, number = 0, 1
            for cells in _parse(lines):
                if cells:
                    yield number, _Span(start, lines.position), cells
                start, number = lines.position, lines.count + 1
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} line {lines.count + 1}: not UTF-8; is it a TSV of VLMEvalKit?") from error
    except csv.Error as error:
        raise UserError(f"{path} line {lines.count}: not a row of a TSV ({error})") from error


class _Lines:
    """The lines of a file as text, counting them and their bytes as they are taken."""

    def __init__(self, stream: Any):
        self._stream = stream
        self.position = 0
        self.count = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = next(self._stream)
        text = (line.removeprefix(codecs.BOM_UTF8) if self.position == 0 else line).decode("utf-8")
        self.position += len(line)
        self.count += 1
        return text


def _parse(lines: Iterator[str]) -> Iterator[list[str]]:
    csv.field_size_limit(sys.maxsize)  # the default, 128 KiB, is smaller than a picture
    return csv.reader(lines, delimiter="\t")


def _cell(text: str) -> str | None:
    return None if text in MISSING else text
