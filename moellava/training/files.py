"""Files of items, of which only byte positions stay in memory: 24 bytes per item, however long the items are."""

import json
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from moellava.training.errors import TrainingError

__all__ = ["DataFile", "ItemFile", "scan"]

CHUNK = 1 << 20  # characters read at a time
LARGEST_ITEM = 1 << 26  # characters; what goes on for longer is no item but a broken file
BETWEEN = frozenset(["", " ", "\t", "\r", "\n", ","])  # what stands between items; "" is the end of a chunk


@dataclass(frozen=True)
class DataFile:
    """One file of items and the folder that its picture names are relative to (None: a file without pictures)."""

    path: Path
    images: Path | None = None


class ItemFile:
    """A file of items that are read one by one; it can be sent to another process.

    Args:
        file: the file.
        positions: [items, 3] of the items to read: number in the file, first byte, byte after the last (see `scan`).
    """

    def __init__(self, file: DataFile, positions: Sequence[tuple[int, int, int]]):
        self.file = file
        self._positions = np.array(positions, dtype=np.int64).reshape(-1, 3)
        self._bytes: mmap.mmap | None = None

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: int) -> tuple[int, object]:
        """Number of the item in its file, and the item as JSON has it."""
        if self._bytes is None:
            with open(self.file.path, "rb") as stream:
                self._bytes = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        number, start, end = self._positions[index].tolist()
        return number, json.loads(self._bytes[start:end])

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_bytes": None}


def scan(path: Path, chunk: int = CHUNK) -> Iterator[tuple[int, int, object]]:
    """First byte, byte after the last, and value of every item of a file, which is read `chunk` characters at a time.

    A file is a JSON list of items, or JSON lines if its name ends in `.jsonl`.

    Raises:
        TrainingError: the file cannot be read, is neither, or goes on behind its list.
    """
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            yield from _scan(stream, path, chunk)
    except OSError as error:
        raise TrainingError(f"{path}: {error.strerror}; name a file in LLaVA's JSON format") from error
    except UnicodeDecodeError as error:
        raise TrainingError(f"{path}: is not UTF-8 ({error.reason}); LLaVA's JSON format is") from error


def _scan(stream: TextIO, path: Path, chunk: int) -> Iterator[tuple[int, int, object]]:
    decoder, lines = json.JSONDecoder(), path.suffix == ".jsonl"
    text = ""
    position = byte = number = 0  # position is where we are in `text`, byte where that is in the file
    opened = lines
    while True:
        while text[position : position + 1] in BETWEEN:
            if position == len(text):
                text, position = stream.read(chunk), 0
                if not text:
                    if lines:
                        return
                    raise TrainingError(f"{path}: ends in the middle of its list, after item {number}; is it whole?")
            else:
                position, byte = position + 1, byte + 1
        if not opened:
            if text[position] != "[":
                raise TrainingError(f"{path}: is no JSON list of items, as LLaVA's format is: [{{...}}, ...]")
            opened, position, byte = True, position + 1, byte + 1
            continue
        if text[position] == "]" and not lines:
            _check_end(text[position + 1 :], stream, path, byte + 1, number, chunk)
            return
        try:
            value, end = decoder.raw_decode(text, position)
        except RecursionError as error:
            raise TrainingError(f"{path}: item {number + 1}, from byte {byte} on: nested too deeply") from error
        except json.JSONDecodeError as error:
            more = stream.read(chunk)
            if not more or len(text) - position > LARGEST_ITEM:
                raise TrainingError(f"{path}: item {number + 1}, from byte {byte} on: {error.msg}") from error
            text, position = text[position:] + more, 0
            continue
        size = len(text[position:end].encode())
        yield byte, byte + size, value
        position, byte, number = end, byte + size, number + 1


def _check_end(text: str, stream: TextIO, path: Path, byte: int, number: int, chunk: int) -> None:
    """Nothing may stand behind the list: of lists that were put one behind the other, the rest would be lost."""
    while text or (text := stream.read(chunk)):
        if rest := text.lstrip():
            byte += len(text) - len(rest)
            raise TrainingError(
                f"{path}: its list ends after item {number}, and more follows at byte {byte} ({rest[:20]!r}); make it "
                "one list, or name several files"
            )
        byte, text = byte + len(text), ""
