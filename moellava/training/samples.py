"""Samples in LLaVA's format, checked before training starts.

An item is `{"id", "image"?: name or list of names, "conversations": [{"from": "human" | "gpt", "value"}, ...]}`.
Source: MoE-LLaVA `train.py` `LazySupervisedDataset`; spec/training.md section 3.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from moellava.training.files import DataFile

__all__ = ["IMAGE_TOKEN", "DataFile", "Item", "Problem", "Report", "Turn", "parse_item"]

IMAGE_TOKEN = "<image>"
OTHER_MEDIA = ("video", "videos", "audio", "audios", "sound", "images", "image_path", "image_paths", "image_url")
"""Fields in which other formats of training data name what an item shows."""

SURROGATE = re.compile("[\ud800-\udfff]")


class Problem(StrEnum):
    """What can be wrong with an item. The first group cannot be trained on, the second is put right and counted."""

    MALFORMED = "not an item"
    UNKNOWN_ROLE = "unknown role"
    ROLES = "roles do not alternate"
    NO_ANSWER = "no answer to learn"
    IMAGE_COUNT = "number of <image> differs from number of pictures"
    MISSING_IMAGE = "missing picture"
    OTHER_MEDIA = "shows something that is not in `image`"

    LEADING_ANSWER = "leading answer dropped"
    OPEN_QUESTION = "last question, without an answer, dropped"
    TOO_LONG = "longer than max_length, cut"
    BLANKED = "kept, though the original learns nothing from it"

    @property
    def fatal(self) -> bool:
        """Whether an item with this problem cannot be trained on."""
        return list(Problem).index(self) < list(Problem).index(Problem.LEADING_ANSWER)


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
        """Count an item's problem."""
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


def parse_item(raw: object, file: DataFile, number: int, plain: bool, report: Report) -> Item | None:
    """An item put right and checked; what is wrong goes to `report`, and None is what cannot be trained on.

    Args:
        raw: what the JSON file has.
        number: of the item in its file, from 0; names an item that has no id.
        plain: whether it is for the `plain` template, which puts the pictures before the answer by itself.
    """
    report.items += 1
    name = f"{file.path.name}: {raw.get('id', f'#{number}') if isinstance(raw, dict) else f'#{number}'}"
    try:
        turns, images = _turns(raw), _image_names(raw)
        if turns and turns[0].role == "gpt":
            turns = turns[1:]
            report.add(Problem.LEADING_ANSWER, name)
        _check_turns(turns, plain)
        if len(turns) % 2:
            turns = turns[:-1]
            report.add(Problem.OPEN_QUESTION, name)
        _check_images(turns, images, file, plain)
    except _UnusableError as error:
        report.add(error.problem, name, error.detail)
        return None
    return Item(name, tuple(turns), tuple(Path(file.images or ".", image) for image in images))


class _UnusableError(Exception):
    def __init__(self, problem: Problem, detail: str = ""):
        self.problem, self.detail = problem, detail


def _turns(raw: object) -> list[Turn]:
    if not isinstance(raw, dict) or not isinstance(raw.get("conversations"), list):
        raise _UnusableError(Problem.MALFORMED, "no list `conversations`")
    turns = []
    for turn in raw["conversations"]:
        if not isinstance(turn, dict) or not isinstance(turn.get("value"), str):
            raise _UnusableError(Problem.MALFORMED, "a turn without text `value`")
        if turn.get("from") not in ("human", "gpt"):
            raise _UnusableError(Problem.UNKNOWN_ROLE, f"{turn.get('from')!r} is neither human nor gpt")
        if SURROGATE.search(turn["value"]):
            raise _UnusableError(Problem.MALFORMED, "half of a surrogate pair, which is no text")
        turns.append(Turn(turn["from"], turn["value"]))
    return turns


def _image_names(raw: object) -> list[str]:
    other = [field for field in OTHER_MEDIA if isinstance(raw, dict) and raw.get(field)]
    if other:
        raise _UnusableError(Problem.OTHER_MEDIA, f"it has `{other[0]}`; only pictures in `image` can be learned from")
    names = (raw.get("image") if isinstance(raw, dict) else None) or []
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _UnusableError(Problem.MALFORMED, f"`image` is {names!r}, not a name or a list of names")
    return names


def _check_turns(turns: Sequence[Turn], plain: bool) -> None:
    for number, turn in enumerate(turns):
        if turn.role != ("human", "gpt")[number % 2]:
            raise _UnusableError(Problem.ROLES, f"turn {number + 1} is {turn.role}")
    if not any(turn.value for turn in turns[1::2]):
        raise _UnusableError(Problem.NO_ANSWER)
    if plain and len(turns) != 2:
        raise _UnusableError(
            Problem.MALFORMED, f"the plain template takes one question and one caption, not {len(turns)} turns"
        )


def _check_images(turns: Sequence[Turn], images: Sequence[str], file: DataFile, plain: bool) -> None:
    if plain and not images:
        raise _UnusableError(Problem.IMAGE_COUNT, "the plain template needs a picture")
    wanted = sum(turn.value.count(IMAGE_TOKEN) for turn in turns)
    if plain and IMAGE_TOKEN in turns[1].value:
        raise _UnusableError(Problem.IMAGE_COUNT, f"{IMAGE_TOKEN} in a caption")
    if not plain and wanted != len(images):
        raise _UnusableError(Problem.IMAGE_COUNT, f"{wanted} {IMAGE_TOKEN}, {len(images)} pictures")
    if images and file.images is None:
        raise _UnusableError(Problem.MISSING_IMAGE, "the file has pictures, but no folder of pictures was named")
    for image in images:
        path = Path(file.images or ".", image)
        if path.name not in _names(path.parent):
            raise _UnusableError(Problem.MISSING_IMAGE, str(path))


@lru_cache(maxsize=1024)
def _names(folder: Path) -> frozenset[str]:
    """Names in a folder: one listing is far cheaper than asking for each of its pictures."""
    return frozenset(os.listdir(folder)) if folder.is_dir() else frozenset()
