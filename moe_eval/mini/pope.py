"""POPE's questions about drawn scenes: which objects are asked for, and in which of the three categories.

An object is a shape of a colour, such as `red circle`. As in POPE, a picture has three present and three absent
objects per category, yes and no in turn, and the absent ones are drawn at random, or are the most frequent of the set
(popular), or those that are most often seen beside what is there (adversarial).
Source of the sampling: POPE, `segment/` questions; POPE, section 4.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from moe_eval.mini.questions import with_article
from moe_eval.mini.source import mini_scenes, mini_split
from moe_eval.mini.world import COLOURS, SHAPES, Scene

__all__ = ["PICTURES", "mini_pope"]

CATEGORIES = ("adversarial", "random", "popular")

PICTURES = 33
"""Pictures that are asked about; with 18 questions each."""

SET = 600
"""Pictures over which frequencies are counted: the first of them are asked about."""

Row = tuple[Scene, dict[str, Any]]


def mini_pope(argument: str) -> list[Row]:
    """Pictures and rows as in POPE's files (`question_id`, `image`, `text`, `label`), with their `category`.

    Args:
        argument: what follows `mini`, see `mini_split`. A training scene is asked once for each of its objects,
            each time beside an absent one of the next category, so that no question repeats.
    """
    if mini_split("pope", argument)[0] == "train":
        return list(_numbered(_training_polls(mini_scenes("pope", argument, 0))))
    scenes = mini_scenes("pope", argument, SET, objects=(3, 3, 4))  # POPE takes pictures of at least three objects
    absent = _Absent(scenes)
    return [row for category in CATEGORIES for row in _numbered(_polls(scenes[:PICTURES], category, absent))]


class _Absent:
    """The objects that are not in a scene, in the order in which a category asks for them."""

    def __init__(self, scenes: Sequence[Scene]):
        self._frequency = Counter(label for scene in scenes for label in scene.labels)
        self._together = Counter(
            (one, other) for scene in scenes for one in scene.labels for other in scene.labels if one != other
        )

    def of(self, scene: Scene, category: str) -> list[str]:
        labels = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
        absent = [label for label in labels if label not in scene.labels]
        random.Random(f"pope {category} {scene.name}").shuffle(absent)  # decides among equals, and in `random` all
        if category == "popular":
            absent.sort(key=lambda label: -self._frequency[label])
        elif category == "adversarial":
            absent.sort(key=lambda label: -sum(self._together[label, seen] for seen in scene.labels))
        return absent


Poll = tuple[Scene, str, str, str]
"""Scene, category, object, label."""


def _polls(scenes: Sequence[Scene], category: str, absent: _Absent) -> Iterator[Poll]:
    for scene in scenes:
        for present, missing in zip(scene.labels[:3], absent.of(scene, category), strict=False):
            yield scene, category, present, "yes"
            yield scene, category, missing, "no"


def _training_polls(scenes: Sequence[Scene]) -> Iterator[Poll]:
    """Every second absent object, where there can be one, has the colour of one and the shape of another present one."""
    absent = _Absent(scenes)
    for number, scene in enumerate(scenes):
        asked: set[str] = set()
        for turn, present in enumerate(scene.labels, start=number):
            category = CATEGORIES[turn % len(CATEGORIES)]
            candidates = [label for label in absent.of(scene, category) if label not in asked]
            mixed = [label for label in candidates if _is_mixture(label, scene)]
            missing = mixed[0] if mixed and turn % 2 else candidates[0]
            asked.add(missing)
            yield scene, category, present, "yes"
            yield scene, category, missing, "no"


def _is_mixture(label: str, scene: Scene) -> bool:
    colour, shape = label.split()
    return bool(scene.having(colour=colour) and scene.having(shape=shape))


def _numbered(polls: Iterator[Poll]) -> Iterator[Row]:
    """Ids count from 1 in each category, as in POPE's three files."""
    counts: Counter[str] = Counter()
    for scene, category, label, answer in polls:
        counts[category] += 1
        row = {
            "question_id": counts[category],
            "image": scene.name,
            "text": f"Is there {with_article(label)} in the image?",
            "label": answer,
            "category": category,
        }
        yield scene, row
