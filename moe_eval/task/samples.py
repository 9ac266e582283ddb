"""What is asked: questions with their pictures and references, and data sets of them."""

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from moe_eval.images import ImageRef

__all__ = ["Dataset", "DatasetLoader", "Sample", "Stopping", "answer_ids"]


@dataclass(frozen=True, slots=True)  # by the hundred thousand
class Sample:
    """One question.

    Args:
        id: unique in its data set; answers are joined by it, never by position.
        question: the text as the data has it, without prompt suffix.
        images: the pictures that the question is about, in order.
        gold: the reference answer(s), as the task's scorer wants them; None where they are hidden.
        group: what the questions about one picture share: the unit of clustered intervals and of prefix sharing.
        meta: whatever else scoring or the breakdown needs, such as `category`.
    """

    id: str
    question: str
    images: tuple[ImageRef, ...]
    gold: Any
    group: str
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stopping:
    """That asking may stop before all was asked, by a look at the scores so far (`--until`).

    Args:
        rule: such as `until=1`.
        seed: of the random order in which groups are asked.
        of: how many samples there are.
        stretch: how many times as wide intervals are because of the looks.
    """

    rule: str
    seed: int
    of: int
    stretch: float


@dataclass(frozen=True)
class Dataset:
    """The samples of a task from one source.

    Args:
        source: the string that names it on the command line, revision included where there is one.
        version: which edition of the data it is, for people.
        samples: all of them, in the order of the data; each is light, pictures open lazily.
        official: whether these are exactly the samples that the published numbers are about.
        has_images: False for a source that only scores stored answers.
        stopping: by what rule these are not all of the samples; None: by none.
        unaltered: the same as the source has it, where questions were altered (`moe_eval.runs.option_order`).
    """

    source: str
    version: str
    samples: Sequence[Sample]
    official: bool
    has_images: bool = True
    stopping: Stopping | None = None
    unaltered: "Dataset | None" = None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over ids, questions, gold and picture names of the source; pixels are not read."""
        if self.unaltered:
            return self.unaltered.fingerprint
        digest = hashlib.sha256()
        encode = json.JSONEncoder(ensure_ascii=True, sort_keys=True).encode
        for sample in self.samples:
            row = [sample.id, sample.question, [image.name for image in sample.images], sample.gold]
            digest.update(encode(row).encode() + b"\n")
        return f"sha256:{digest.hexdigest()}"

    def shuffled(self, seed: int) -> "Dataset":
        """The same with the groups in random order; the samples of each keep theirs."""
        groups: dict[str, list[Sample]] = {}
        for sample in self.samples:
            groups.setdefault(sample.group, []).append(sample)
        order = list(groups.values())
        random.Random(seed).shuffle(order)
        return replace(self, samples=[sample for members in order for sample in members])

    def stopped(self, stopping: Stopping) -> "Dataset":
        """The same in the order of that rule."""
        version = f"{self.version}, in random order ({stopping.rule}, seed {stopping.seed})"
        return replace(self.shuffled(stopping.seed), stopping=stopping, version=version)

    def first(self, limit: int) -> "Dataset":
        """At most `limit` samples: whole groups in their order, and the first group whatever its size.

        Groups stay whole because some scores are defined on groups (MME pairs, MMBench rotations) and because
        every POPE picture carries all three categories.
        """
        if limit >= len(self.samples):
            return self
        groups: dict[str, list[Sample]] = {}
        for sample in self.samples:
            groups.setdefault(sample.group, []).append(sample)
        kept: set[str] = set()
        for members in groups.values():
            if kept and len(kept) + len(members) > limit:
                break
            kept.update(sample.id for sample in members)
        samples = [sample for sample in self.samples if sample.id in kept]
        version = f"{self.version}, first {len(samples):,} of {len(self.samples):,}"
        unaltered = self.unaltered and self.unaltered.first(limit)
        return replace(self, samples=samples, version=version, official=False, unaltered=unaltered)


DatasetLoader = Callable[[str], Dataset]
"""From what follows the source's name on the command line (`DIR` of `llava:DIR`, or "") to the data."""


def answer_ids(sample_id: str, samples: int | None) -> list[str]:
    """The ids of the answers to a question: its own, or `ID#1`, `ID#2`, … where `samples` of them are drawn."""
    return [sample_id] if samples is None else [f"{sample_id}#{number}" for number in range(1, samples + 1)]
