"""Samples in LLaVA's JSON format: read lazily from disk, and checked before training starts.

An item is `{"id", "image"?: name or list of names, "conversations": [{"from": "human" | "gpt", "value"}, ...]}`; a file
is a JSON list of items. Only byte positions stay in memory, so that a file of a million items costs 16 MB.
Source: MoE-LLaVA `train.py` `LazySupervisedDataset`; spec/training.md section 3.
"""

import json
import mmap
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

import numpy as np

__all__ = ["IMAGE_TOKEN", "DataError", "DataFile", "Item", "ItemFile", "Problem", "Report", "Turn", "parse_item"]

IMAGE_TOKEN = "<image>"
CHUNK = 1 << 20  # characters read at a time while a file is indexed
LARGEST_ITEM = 1 << 26  # characters; what goes on for longer is no item but a broken file


class DataError(ValueError):
    """Training data that cannot be used; one line that says what is wrong, where, and what to do."""


class Problem(StrEnum):
    """What can be wrong with an item. The first group cannot be trained on, the second is put right and counted."""

    MALFORMED = "not an item"
    UNKNOWN_ROLE = "unknown role"
    ROLES = "roles do not alternate"
    NO_ANSWER = "no answer to learn"
    IMAGE_COUNT = "number of <image> differs from number of pictures"
    MISSING_IMAGE = "missing picture"

    LEADING_ANSWER = "leading answer dropped"
    OPEN_QUESTION = "last question has no answer and is dropped"
    TOO_LONG = "longer than max_length and cut"
    BLANKED_UPSTREAM = "the original would have learned nothing of it"

    @property
    def fatal(self) -> bool:
        """Whether an item with this problem cannot be trained on."""
        return list(Problem).index(self) < list(Problem).index(Problem.LEADING_ANSWER)


@dataclass(frozen=True)
class DataFile:
    """One file of items and the folder that its picture names are relative to (None: a file without pictures)."""

    path: Path
    images: Path | None = None


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation; `role` is "human" or "gpt"."""

    role: str
    value: str


@dataclass(frozen=True)
class Item:
    """One sample. Human and gpt turns alternate, and each `<image>` in them has its picture in `images`, in order."""

    id: str
    turns: tuple[Turn, ...]
    images: tuple[Path, ...] = ()

    @property
    def words(self) -> int:
        """Whitespace-separated words over all turns, upstream's measure of length."""
        return sum(len(turn.value.split()) for turn in self.turns)


@dataclass
class Report:
    """How many items have which problem, and the first `SHOWN` of each kind."""

    SHOWN = 10

    items: int = 0
    counts: Counter[Problem] = field(default_factory=Counter)
    examples: dict[Problem, list[str]] = field(default_factory=dict)

    def add(self, problem: Problem, item_id: str, detail: str = "") -> None:
        self.counts[problem] += 1
        shown = self.examples.setdefault(problem, [])
        if len(shown) < self.SHOWN:
            shown.append(f"{item_id}: {detail}" if detail else item_id)

    @property
    def unusable(self) -> int:
        """Number of items that cannot be trained on."""
        return sum(count for problem, count in self.counts.items() if problem.fatal)

    def __str__(self) -> str:
        lines = [f"{self.items:,} items, {self.unusable:,} unusable"]
        for problem in Problem:
            if count := self.counts[problem]:
                lines.append(f"{'error' if problem.fatal else 'note'}: {problem}: {count:,}")
                lines += [f"  {example}" for example in self.examples[problem]]
                lines += [f"  … and {count - self.SHOWN:,} more"] if count > self.SHOWN else []
        return "\n".join(lines)


class ItemFile:
    """A file of items, indexed once and read item by item; it can be sent to another process.

    Raises:
        DataError: the file is missing, or is not a JSON list.
    """

    def __init__(self, file: DataFile):
        self.file = file
        positions = [(start, end) for start, end, _ in scan(file.path)]
        self._positions = np.array(positions, dtype=np.int64).reshape(-1, 2)
        self._bytes: mmap.mmap | None = None

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: int) -> object:
        """The item as JSON has it."""
        if self._bytes is None:
            with open(self.file.path, "rb") as stream:
                self._bytes = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        start, end = self._positions[index]
        return json.loads(self._bytes[start:end])

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_bytes": None}


def scan(path: Path) -> Iterator[tuple[int, int, object]]:
    """First byte, byte after the last, and value of every element of the JSON list in a file, a chunk at a time."""
    decoder = json.JSONDecoder()
    try:
        stream = open(path, encoding="utf-8", newline="")  # noqa: SIM115, closed below
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; name a JSON list of LLaVA items") from error
    with stream:
        text, position, byte, count, closed = "", 0, 0, 0, False
        text = stream.read(CHUNK)
        byte = len(text) - len(text.lstrip())
        position = byte
        if text[position : position + 1] != "[":
            raise DataError(f"{path}: is no JSON list; LLaVA's format is a list of items: [{{...}}, ...]")
        position, byte = position + 1, byte + 1
        while not closed:
            while position < len(text) and text[position] in " \t\r\n,":
                position, byte = position + 1, byte + 1
            if text[position : position + 1] == "]":
                return
            try:
                value, end = decoder.raw_decode(text, position)
            except json.JSONDecodeError as error:
                more = stream.read(CHUNK)
                if not more or len(text) - position > LARGEST_ITEM:
                    raise DataError(f"{path}: item {count + 1}, near byte {byte}: {error.msg}; is it whole?") from error
                text, position = text[position:] + more, 0
                continue
            size = len(text[position:end].encode())
            yield byte, byte + size, value
            position, byte, count = end, byte + size, count + 1


def parse_item(raw: object, file: DataFile, number: int, plain: bool, report: Report) -> Item | None:
    """An item put right and checked; what is wrong goes to `report`, and None is what cannot be trained on.

    Args:
        raw: what the JSON file has.
        number: of the item in its file, from 0; names an item that has no id.
        plain: whether it is for the `plain` template, which puts the pictures before the answer by itself.
    """
    report.items += 1
    name = f"{file.path.name}: #{number}"
    if not isinstance(raw, dict) or not isinstance(raw.get("conversations"), list):
        return report.add(Problem.MALFORMED, name, "no list `conversations`")
    name = f"{file.path.name}: {raw.get('id', f'#{number}')}"
    images = raw.get("image") or []
    images = [images] if isinstance(images, str) else images
    turns = []
    for turn in raw["conversations"]:
        if not isinstance(turn, dict) or not isinstance(turn.get("value"), str):
            return report.add(Problem.MALFORMED, name, "a turn without text `value`")
        if turn.get("from") not in ("human", "gpt"):
            return report.add(Problem.UNKNOWN_ROLE, name, f"{turn.get('from')!r} is neither human nor gpt")
        turns.append(Turn(turn["from"], turn["value"]))
    if turns and turns[0].role == "gpt":
        turns = turns[1:]
        report.add(Problem.LEADING_ANSWER, name)
    for position, turn in enumerate(turns):
        if turn.role != ("human", "gpt")[position % 2]:
            return report.add(Problem.ROLES, name, f"turn {position + 1} is {turn.role}")
    if len(turns) % 2 and len(turns) > 1:
        turns = turns[:-1]
        report.add(Problem.OPEN_QUESTION, name)
    if len(turns) < 2 or not any(turn.value for turn in turns[1::2]):
        return report.add(Problem.NO_ANSWER, name)
    wanted = sum(turn.value.count(IMAGE_TOKEN) for turn in turns)
    if plain and not images:
        return report.add(Problem.IMAGE_COUNT, name, "the plain template needs a picture")
    if wanted != len(images) and not plain:
        return report.add(Problem.IMAGE_COUNT, name, f"{wanted} {IMAGE_TOKEN}, {len(images)} pictures")
    if images and file.images is None:
        return report.add(Problem.MISSING_IMAGE, name, "the file has pictures, but no folder of pictures was named")
    paths = tuple(Path(file.images or ".", image) for image in images)
    for path in paths:
        if path.name not in _names(path.parent):
            return report.add(Problem.MISSING_IMAGE, name, str(path))
    return Item(name, tuple(turns), paths)


@lru_cache(maxsize=1024)
def _names(folder: Path) -> frozenset[str]:
    """Names in a folder: one listing is far cheaper than asking for each of its pictures."""
    return frozenset(os.listdir(folder)) if folder.is_dir() else frozenset()
