"""A share of a run's questions for one process among many: whole pictures are dealt out, in the order of the data."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from moe_eval.errors import UserError
from moe_eval.task import Dataset

__all__ = ["SHARDS", "Shard", "parse_shard"]

SHARDS = "shards"
"""The folder in a run's own that holds the shards' runs."""


@dataclass(frozen=True)
class Shard:
    """One of `count` shares.

    Args:
        number: from 1.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def folder(self, run: Path) -> Path:
        """Where the share of a run is kept.

        >>> Shard(2, 8).folder(Path("runs/m/pope")).as_posix()
        'runs/m/pope/shards/2-of-8'
        """
        return run / SHARDS / f"{self.number}-of-{self.count}"

    def of(self, dataset: Dataset) -> Dataset:
        """Its samples: of the groups (mostly pictures) in their order it gets every `count`-th.

        Raises:
            UserError: when there are fewer groups than shares.
        """
        groups = list(dict.fromkeys(sample.group for sample in dataset.samples))
        mine = set(groups[self.number - 1 :: self.count])
        if not mine:
            raise UserError(
                f"--shard {self}: {dataset.source} has only {len(groups):,} groups of questions here; take fewer shards"
            )
        samples = [sample for sample in dataset.samples if sample.group in mine]
        return replace(dataset, samples=samples, version=f"{dataset.version}, shard {self}", official=False)


def parse_shard(text: str, environment: Mapping[str, str]) -> Shard:
    """From `I/N`, or from what a launcher has put into the environment: `slurm` (a job array), `torchrun`.

    Raises:
        UserError: for anything else, and a launcher that has not put it there.
    """
    if text == "slurm":
        task, first, step, count = (
            _number(environment, f"SLURM_ARRAY_TASK_{name}", text) for name in ("ID", "MIN", "STEP", "COUNT")
        )
        return Shard((task - first) // max(step, 1) + 1, count)
    if text == "torchrun":
        return Shard(_number(environment, "RANK", text) + 1, _number(environment, "WORLD_SIZE", text))
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"--shard {text}: I/N is wanted, I from 1 to N, or slurm or torchrun")
    return Shard(int(match[1]), int(match[2]))


def _number(environment: Mapping[str, str], name: str, launcher: str) -> int:
    value = environment.get(name, "")
    if not value.isdecimal():
        raise UserError(f"--shard {launcher}: {name} is not in the environment; was this started by {launcher}?")
    return int(value)
