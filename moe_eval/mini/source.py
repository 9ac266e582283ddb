"""What follows `mini` on the command line, and the scenes that it means. Shared by all tasks."""

import zlib
from collections.abc import Sequence
from typing import Any

from moe_eval.errors import UserError
from moe_eval.mini.content import Split
from moe_eval.mini.world import Scene, make_scenes
from moe_eval.task import Dataset, Sample

__all__ = ["TRAIN_SEED", "mini_dataset", "mini_scenes", "mini_split"]

TRAIN_SEED = 0
"""One for all tasks, so that the n-th training picture is the same for all and their questions can share a row."""


def mini_split(task: str, argument: str) -> tuple[Split, int]:
    """`` → ("test", 0): the test set, whose size the task knows; `train:COUNT` → ("train", COUNT) scenes.

    Raises:
        UserError: for anything else.
    """
    name, _, count = argument.partition(":")
    if not argument:
        return "test", 0
    if name == "train" and count.isdecimal() and int(count) > 0:
        return "train", int(count)
    raise UserError(f"{task}: mini takes nothing, or train:COUNT scenes (mini:train:500), not {argument!r}")


def mini_scenes(task: str, argument: str, count: int, **options: Any) -> list[Scene]:
    """The scenes of the test set, `count` of them and other ones for each task, or of the training set.

    Args:
        argument: see `mini_split`.
        count: size of the task's test set.
        options: for `make_scenes`, of both sets.
    """
    split, wanted = mini_split(task, argument)
    if split == "test":
        return make_scenes(count, zlib.crc32(task.encode()), "test", **options)
    return make_scenes(wanted, TRAIN_SEED, "train", **options)


def mini_dataset(argument: str, samples: Sequence[Sample]) -> Dataset:
    """The samples with what is said about all generated data: how many there are, and that no paper scores them."""
    scenes = {picture.name for sample in samples for picture in sample.images}
    version = f"{len(samples):,} generated questions on {len(scenes):,} drawn scenes"
    return Dataset(f"mini:{argument}" if argument else "mini", version, samples, official=False)
