"""The order of the items: batches of pictures and batches of text, each of similar lengths.

Source: LLaVA `llava_trainer.py` `get_modality_length_grouped_indices`; spec/training.md section 3, "Grouping".
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler

__all__ = ["ModalityLengthSampler", "modality_length_order"]


class ModalityLengthSampler(Sampler[int]):
    """Yields item numbers in the order that upstream trains them in, the same for the same seed and epoch.

    By default the order is the one of all ranks together: cut into batches of `batch_size`, batch i belongs to rank
    i mod `world_size`. So accelerate deals batches, and nothing else is to be done under torchrun. Given `rank` and
    `world_size` it yields the items of that rank only.

    Args:
        lengths: words per item, negative without picture (`ConversationDataset.lengths`).
        batch_size: items per rank and forward pass.
        batches_per_step: ranks times accumulation: the batches of one optimizer step, which are sorted by length together.
        seed, epoch: of the shuffling; the Trainer calls `set_epoch`.
        skip: items of the order not to yield, to go on where a run stopped.
        rank, world_size: whose batches to yield.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        batches_per_step: int = 1,
        seed: int = 42,
        epoch: int = 0,
        skip: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.lengths, self.batch_size, self.batches_per_step = lengths, batch_size, batches_per_step
        self.seed, self.epoch, self.skip = seed, epoch, skip
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        return len(self._order())

    def __iter__(self) -> Iterator[int]:
        return iter(self._order())

    def set_epoch(self, epoch: int) -> None:
        """Shuffle as in that epoch from now on."""
        self.epoch = epoch

    def _order(self) -> list[int]:
        mixed = np.random.SeedSequence([self.seed, self.epoch]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(mixed) >> 1)
        order = modality_length_order(self.lengths, self.batch_size, self.batches_per_step, generator)
        mine = enumerate(order[self.skip :], start=self.skip)
        return [item for place, item in mine if place // self.batch_size % self.world_size == self.rank]


def modality_length_order(
    lengths: Sequence[int], batch_size: int, batches_per_step: int, generator: torch.Generator
) -> list[int]:
    """A permutation of the items.

    Items with and without pictures are shuffled separately, cut into megabatches of `batch_size * batches_per_step`,
    sorted by falling length inside and dealt evenly to the batches of a step. The megabatches of both kinds are shuffled
    together; the last of each kind, where there are both kinds, forms one mixed megabatch at the end.
    """
    size = batch_size * batches_per_step
    kinds = [
        [i for i, length in enumerate(lengths) if length >= 0],
        [i for i, length in enumerate(lengths) if length < 0],
    ]
    megabatches: list[list[int]] = []
    last: list[int] = []
    for items in kinds:
        order = [items[i] for i in torch.randperm(len(items), generator=generator).tolist()]
        cut = [_deal(order[i : i + size], lengths, batches_per_step) for i in range(0, len(order), size)]
        if all(kinds):
            last += cut.pop()
        megabatches += cut
    if all(kinds):
        megabatches = [megabatches[i] for i in torch.randperm(len(megabatches), generator=generator).tolist()]
    return [item for megabatch in [*megabatches, sorted(last)] for item in megabatch]


def _deal(items: Sequence[int], lengths: Sequence[int], batches: int) -> list[int]:
    """A megabatch as batches of about equal total length, one after the other."""
    items = sorted(items, key=lambda item: abs(lengths[item]), reverse=True)
    if len(items) % batches:
        return [item for batch in range(batches) for item in items[batch::batches]]
    dealt: list[list[int]] = [[] for _ in range(batches)]
    totals = [0.0] * batches
    for item in items:
        batch = totals.index(min(totals))
        dealt[batch].append(item)
        full = len(dealt[batch]) == len(items) // batches
        totals[batch] = float("inf") if full else totals[batch] + abs(lengths[item])
    return [item for batch in dealt for item in batch]
