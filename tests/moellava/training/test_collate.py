"""A batch has what the model takes, and says which items it is made of."""

import numpy as np
import pytest
import torch

from moellava.training.collate import Collator
from moellava.training.dataset import Example
from moellava.training.errors import TrainingError
from moellava.training.labels import IGNORED, Conversation
from moellava.training.packing import Packing

PAD = 7


def example(name: str, length: int, pictures: int = 0, learned: bool = True) -> Example:
    """A conversation of `length` tokens, the first ones its pictures', of which the last is learned."""
    ids = np.arange(length)
    labels = np.where((ids == length - 1) & learned, ids, IGNORED)
    spans = np.array([[n, n + 1] for n in range(pictures)], dtype=np.int64).reshape(-1, 2)
    pixels = torch.full((pictures, 3, 2, 2), float(length)) if pictures else None
    return Example(name, (Conversation(ids, labels, spans),), pixels)


def test_rows_are_padded_on_the_right():
    batch = Collator(PAD)([example("a", 2), example("b", 4)])
    assert batch["input_ids"].tolist() == [[0, 1, PAD, PAD], [0, 1, 2, 3]]
    assert batch["labels"].tolist() == [[IGNORED, 1, IGNORED, IGNORED], [IGNORED] * 3 + [3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch["ids"] == ["a", "b"]
    assert not {"position_ids", "segments"} & batch.keys()


def test_a_packed_batch_is_one_row_without_padding_whose_positions_restart():
    batch = Collator(PAD, Packing())([example("a", 2), example("b", 4)])
    assert batch["input_ids"].tolist() == [[0, 1, 0, 1, 2, 3]]
    assert batch["labels"].tolist() == [[IGNORED, 1, IGNORED, IGNORED, IGNORED, 3]]
    assert batch["attention_mask"].tolist() == [[1] * 6]
    assert batch["position_ids"].tolist() == [[0, 1, 0, 1, 2, 3]]
    assert batch["segments"]["pairs"] == 2 * 2 + 4 * 4
    assert {tensor.dtype for name, tensor in batch.items() if name not in ("ids", "segments")} == {torch.int64}


@pytest.mark.parametrize("packing", [None, Packing()])
def test_pictures_come_in_the_order_of_the_rows(packing):
    batch = Collator(PAD, packing)([example("a", 2, 1), example("text", 3), example("b", 5, 2)])
    assert batch["pixel_values"][:, 0, 0, 0].tolist() == [2, 5, 5]


def test_a_text_batch_has_no_pictures():
    assert "pixel_values" not in Collator(PAD)([example("a", 3)])


def test_a_batch_with_nothing_to_learn_is_refused_by_name():
    with pytest.raises(TrainingError, match="nothing to learn in a batch of a, b"):
        Collator(PAD)([example("a", 3, learned=False), example("b", 3, learned=False)])
