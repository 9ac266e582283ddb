"""From examples to a batch of tensors, padded or packed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from moellava.training.block_attention import attention_blocks
from moellava.training.dataset import Example
from moellava.training.errors import TrainingError
from moellava.training.labels import IGNORED
from moellava.training.packing import Packing, pack, unpacked

__all__ = ["Collator"]


@dataclass(frozen=True)
class Collator:
    """Batches of `ConversationDataset`'s examples; one row per conversation, or all of them packed into one.

    Returns a dict of
        `input_ids`, `labels`: [rows, sequence] int64, padded on the right with `pad_token_id` and -100.
        `attention_mask`: [rows, sequence] int64; a packed row has no padding.
        `position_ids`: packed only, [1, sequence] int64, from 0 in every conversation.
        `segments`: packed only, for `block_attention`.
        `pixel_values`: [pictures, 3, height, width] float32, one per run of image tokens, in the order of the rows;
            absent when the batch has no picture (the model then keeps projector and tower in the graph by itself).
        `ids`: the items' files and ids.

    Raises:
        TrainingError: no label in the whole batch, whose loss would be undefined.
    """

    pad_token_id: int
    packing: Packing | None = None

    def __call__(self, examples: Sequence[Example]) -> dict:
        ids = [example.id for example in examples]
        conversations = [example.conversations for example in examples]
        rows = unpacked(conversations) if self.packing is None else [pack(conversations, self.packing)]
        input_ids = self._pad([row.input_ids for row in rows], self.pad_token_id)
        labels = self._pad([row.labels for row in rows], IGNORED)
        if (labels == IGNORED).all():
            raise TrainingError(
                f"nothing to learn in a batch of {', '.join(ids)}: leave these items out, or raise max_length"
            )
        lengths = np.array([[len(row)] for row in rows])
        is_token = (np.arange(input_ids.shape[1]) < lengths).astype(np.int64)
        arrays = {"input_ids": input_ids, "labels": labels, "attention_mask": is_token}
        batch: dict = {name: torch.from_numpy(array) for name, array in arrays.items()}
        if self.packing is not None:
            batch["position_ids"] = torch.from_numpy(rows[0].position_ids)[None]
            batch["segments"] = attention_blocks(rows[0].segments)
        pixels = [example.pixel_values for example in examples]
        places = [place for row in rows for place in row.pictures]
        pictures = [of[picture] for number, picture in places if (of := pixels[number]) is not None]
        if pictures:
            batch["pixel_values"] = torch.stack(pictures)
        return batch | {"ids": ids}

    def _pad(self, rows: Sequence[np.ndarray], value: int) -> np.ndarray:
        padded = np.full((len(rows), max(len(row) for row in rows)), value, dtype=np.int64)
        for number, row in enumerate(rows):
            padded[number, : len(row)] = row
        return padded
