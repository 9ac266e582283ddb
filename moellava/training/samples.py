"""Samples in LLaVA's format, checked before training starts.

An item is `{"id", "image"?: name or list of names, "conversations": [{"from": "human" | "gpt", "value"}, ...]}`.
Source: MoE-LLaVA `train.py` `LazySupervisedDataset`; spec/training.md section 3.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from moellava.training.files import DataFile

__all__ = ["IMAGE_TOKEN", "DataFile", "Item", "Problem", "Report", "Turn", "parse_item"]

IMAGE_TOKEN = "<image>"
SURROGATE = re.compile("[\ud800-\udfff]")


class Problem(StrEnum):
    """What can be wrong with an item. The first group cannot be trained on, the second is put right and counted."""

    MALFORMED = "not an item"
    UNKNOWN_ROLE = "unknown role"
    ROLES = "roles do not alternate"
    NO_ANSWER = "no answer to learn"
    IMAGE_COUNT = "number of <image> differs from number of pictures"
    MISSING_IMAGE = "missing picture"

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
    name = f"{file.path.name}: #{number}"
    if not isinstance(raw, dict) or not isinstance(raw.get("conversations"), list):
        return report.add(Problem.MALFORMED, name, "no list `conversations`")
    name = f"{file.path.name}: {raw.get('id', f'#{number}')}"
    images = raw.get("image") or []
    images = [images] if isinstance(images, str) else images
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        return report.add(Problem.MALFORMED, name, f"`image` is {images!r}, not a name or a list of names")
    turns = []
    for turn in raw["conversations"]:
        if not isinstance(turn, dict) or not isinstance(turn.get("value"), str):
            return report.add(Problem.MALFORMED, name, "a turn without text `value`")
        if turn.get("from") not in ("human", "gpt"):
            return report.add(Problem.UNKNOWN_ROLE, name, f"{turn.get('from')!r} is neither human nor gpt")
        if SURROGATE.search(turn["value"]):
            return report.add(Problem.MALFORMED, name, "half of a surrogate pair, which is no text")
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
