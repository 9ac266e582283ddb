"""A packed row gives every conversation exactly what it has alone: ids, labels, positions, sight, and loss."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moellava.training.collate import Collator
from moellava.training.dataset import ConversationDataset
from moellava.training.labels import IGNORED, Conversation
from moellava.training.packing import Packing, Row, block_mask, pack, shared_prefix, unpacked
from tests.tiny_models import tiny_model, tiny_processor
from tests.training_data import item, write_items

PACKINGS = [Packing(40), Packing(3_000), Packing(700, share_prefix=True), Packing(3_000, share_prefix=True)]
ITEMS = [
    item("dog", "<image>\nWhat is it?", "A dog.", "Is it big?", "Yes.", "Is it grey?", "No.", image="dog.png"),
    item("cat", "<image>\nIs it grey?", "A cat.", "Is it a dog?", "No.", image="cat.png"),
    item("text", "Hello", "Hi there."),
    item("end", "Is there a horse in this?\n<image>", "No.", "A cow?", "Yes, and a calf.", image="horse.png"),
    item("two", "<image>\n<image>\nThe same?", "No.", "Alike?", "A little.", image=["cow.png", "calf.png"]),
]


@st.composite
def conversations(draw) -> list[Conversation]:
    """Conversations of one item: a common beginning of words and pictures (id 9), then words, of which some are
    learned."""
    pictures = draw(st.integers(0, 2))
    start = [9, 9, 9] * pictures + draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    spans = np.array([[3 * n, 3 * n + 3] for n in range(pictures)], dtype=np.int64).reshape(-1, 2)
    made = []
    for _ in range(draw(st.integers(1, 4))):
        ids = np.array(start + draw(st.lists(st.integers(0, 3), max_size=5)), dtype=np.int64)
        learned = np.array(draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))) & (ids != 9)
        learned[0] = False
        made.append(Conversation(ids, np.where(learned, ids, IGNORED), spans))
    return made


def seen_by_learned(row: Row) -> list[tuple]:
    """For every learned token what its prediction depends on: its label and the ids and positions in sight before it."""
    mask = block_mask([row], len(row))[0]
    return [
        (row.labels[n], tuple(row.input_ids[mask[n - 1]]), tuple(row.position_ids[mask[n - 1]]))
        for n in np.flatnonzero(row.labels != IGNORED)
    ]


@given(st.lists(conversations(), min_size=1, max_size=4), st.integers(1, 40), st.booleans())
def test_every_learned_token_is_predicted_from_its_own_conversation(examples, max_length, share_prefix):
    rows = pack(examples, Packing(max_length, share_prefix))
    packed = [sight for row in rows for sight in seen_by_learned(row)]
    alone = [sight for row in unpacked(examples) for sight in seen_by_learned(row)]
    assert sorted(packed) == sorted(alone)


@given(st.lists(conversations(), min_size=1, max_size=4), st.booleans())
def test_every_run_of_image_tokens_has_its_picture_in_order(examples, share_prefix):
    for row in pack(examples, Packing(30, share_prefix)):
        runs = [number for number in np.flatnonzero(row.input_ids == 9) if row.position_ids[number] % 3 == 0]
        assert [row.position_ids[run] // 3 for run in runs] == [picture for _, picture in row.pictures]


@given(st.lists(conversations(), min_size=1, max_size=4), st.integers(1, 40))
def test_rows_are_not_longer_than_allowed_unless_one_conversation_is(examples, max_length):
    longest = max(len(conversation) for example in examples for conversation in example)
    rows = pack(examples, Packing(max_length))
    assert max(len(row) for row in rows) <= max(longest, max_length)
    assert sum(len(row) for row in rows) == sum(len(part) for example in examples for part in example)


def test_a_shared_prefix_ends_two_tokens_before_the_first_learned_one():
    ids, labels = np.arange(6), np.array([IGNORED] * 4 + [4, 5])
    same = Conversation(ids, labels, np.empty((0, 2), dtype=np.int64))
    assert shared_prefix([same, same]) == 3


def test_padding_sees_nothing_and_is_seen_by_nothing():
    row = Row(np.arange(2), np.arange(2), np.arange(2), unpacked([[_conversation([1, 2])]])[0].segments, ())
    mask = block_mask([row], 3)[0]
    assert mask.tolist() == [[True, False, False], [True, True, False], [False, False, False]]


def _conversation(ids: list[int]) -> Conversation:
    return Conversation(np.array(ids), np.full(len(ids), IGNORED), np.empty((0, 2), dtype=np.int64))


# Losses


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> list:
    file = write_items(tmp_path_factory.mktemp("packing"), ITEMS)
    return list(ConversationDataset([file], tiny_processor(), None, max_length=2048, split_rounds=True))


def step(model, examples, packing):
    """Output and gradients of a training step."""
    batch = Collator(0, packing)(examples)
    batch.pop("ids")
    model.zero_grad()
    output = model.train()(**batch)
    output.loss.backward()
    return output, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def cross_entropy(model, output) -> float:
    aux = 0.0 if output.aux_loss is None else model.config.moe.router_aux_loss_coef * output.aux_loss.item()
    return output.loss.item() - aux


@pytest.mark.parametrize("packing", PACKINGS, ids=str)
@pytest.mark.parametrize("layers", [(), (0, 2)], ids=["dense", "sparse"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_cross_entropy_is_that_of_padded_rows(examples, layers, packing, attention):
    model = tiny_model("phi", layers=layers, text={"max_position_embeddings": 2048})
    model.set_attn_implementation(attention)
    padded, _ = step(model, examples, None)
    packed, _ = step(model, examples, packing)
    assert cross_entropy(model, packed) == pytest.approx(cross_entropy(model, padded), rel=1e-6)


@pytest.mark.parametrize("packing", PACKINGS[:2], ids=str)
def test_without_sharing_balancing_loss_and_gradients_are_equal_too(examples, packing):
    model = tiny_model("llama", layers=(0, 2), text={"max_position_embeddings": 2048})
    padded, expected = step(model, examples, None)
    packed, gradients = step(model, examples, packing)
    assert packed.aux_loss.item() == pytest.approx(padded.aux_loss.item(), rel=1e-6)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_sharing_leaves_the_gradients_of_a_dense_model_equal(examples):
    model = tiny_model("llama", layers=(), text={"max_position_embeddings": 2048})
    _, expected = step(model, examples, None)
    _, gradients = step(model, examples, Packing(3_000, share_prefix=True))
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_sharing_holds_each_picture_once(examples):
    whole = Collator(0, Packing(3_000))(examples)
    shared = Collator(0, Packing(3_000, share_prefix=True))(examples)
    # three rounds and two rounds about one picture, two about two; "end" asks before it shows, and shares no picture
    assert len(whole["pixel_values"]) == 3 + 2 + 2 + 2 * 2
    assert len(shared["pixel_values"]) == 1 + 1 + 2 + 2
    assert shared["input_ids"].numel() < 0.7 * whole["input_ids"].numel()
