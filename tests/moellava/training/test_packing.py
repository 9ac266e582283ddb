"""A packed row gives every conversation exactly what it has alone: ids, labels, positions, sight, and loss."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moellava.training.block_attention import use_block_attention
from moellava.training.collate import Collator
from moellava.training.dataset import ConversationDataset
from moellava.training.flops import FlopRate
from moellava.training.labels import IGNORED, Conversation
from moellava.training.packing import Packing, Row, pack, shared_prefix, unpacked
from tests.segments import sight
from tests.tiny_models import BACKBONES, tiny_model, tiny_processor
from tests.training_data import item, write_items

PACKINGS = [Packing(), Packing(share_prefix=True)]
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
    mask = sight(row.segments).numpy()
    return [
        (row.labels[n], tuple(row.input_ids[mask[n - 1]]), tuple(row.position_ids[mask[n - 1]]))
        for n in np.flatnonzero(row.labels != IGNORED)
    ]


examples_of_items = st.lists(conversations(), min_size=1, max_size=4)


@given(examples_of_items, st.booleans())
def test_every_learned_token_is_predicted_from_its_own_conversation(examples, share_prefix):
    packed = seen_by_learned(pack(examples, Packing(share_prefix)))
    alone = [sight for row in unpacked(examples) for sight in seen_by_learned(row)]
    assert packed == alone


@given(examples_of_items, st.booleans())
def test_every_run_of_image_tokens_has_its_picture_in_order(examples, share_prefix):
    row = pack(examples, Packing(share_prefix))
    runs = [number for number in np.flatnonzero(row.input_ids == 9) if row.position_ids[number] % 3 == 0]
    assert [row.position_ids[run] // 3 for run in runs] == [picture for _, picture in row.pictures]


@given(examples_of_items, st.booleans())
def test_segments_lie_side_by_side_and_prefixes_before_what_shares_them(examples, share_prefix):
    row = pack(examples, Packing(share_prefix))
    ends = [0, *(segment.end for segment in row.segments)]
    assert [segment.start for segment in row.segments] == ends[:-1]
    assert ends[-1] == len(row) == len(row.labels) == len(row.position_ids)
    whole = {(segment.start, segment.end) for segment in row.segments if segment.prefix is None}
    for segment in row.segments:
        assert len(segment) > 0
        assert segment.prefix is None or (segment.prefix in whole and segment.prefix[1] <= segment.start)


@given(examples_of_items)
def test_without_sharing_the_row_is_the_conversations_one_behind_the_other(examples):
    row, parts = pack(examples, Packing()), [part for example in examples for part in example]
    assert row.input_ids.tolist() == [token for part in parts for token in part.input_ids]
    assert row.labels.tolist() == [label for part in parts for label in part.labels]


@given(examples_of_items)
def test_sharing_leaves_out_what_is_shared_and_no_more(examples):
    left_out = [(len(example) - 1) * shared_prefix(example) if len(example) > 1 else 0 for example in examples]
    assert len(pack(examples, Packing(share_prefix=True))) == len(pack(examples, Packing())) - sum(left_out)


def test_a_shared_prefix_ends_two_tokens_before_the_first_learned_one():
    ids, labels = np.arange(6), np.array([IGNORED] * 4 + [4, 5])
    same = Conversation(ids, labels, np.empty((0, 2), dtype=np.int64))
    assert shared_prefix([same, same]) == 3


# Losses


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> list:
    file = write_items(tmp_path_factory.mktemp("packing"), ITEMS)
    return list(ConversationDataset([file], tiny_processor(), None, max_length=2048, split_rounds=True))


def step(model, examples, packing):
    """Output and gradients of a training step."""
    batch = Collator(0, packing)(examples)
    batch.pop("ids")
    if packing is None:
        model.set_attn_implementation("sdpa")
    else:
        use_block_attention(model)
    model.zero_grad()
    output = model.train()(**batch)
    output.loss.backward()
    return output, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def cross_entropy(model, output) -> float:
    aux = 0.0 if output.aux_loss is None else model.config.moe.router_aux_loss_coef * output.aux_loss.item()
    return output.loss.item() - aux


def long_model(backbone: str, layers: tuple[int, ...]):
    return tiny_model(backbone, layers=layers, text={"max_position_embeddings": 2048})


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize(
    ("packing", "layers"),
    # shared tokens count once in the balancing loss, which a sparse model's gradients are made of, too
    [(Packing(), (0, 2)), (Packing(share_prefix=True), ())],
    ids=["sparse", "dense-shared"],
)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_losses_and_gradients_are_those_of_padded_rows(examples, backbone, packing, layers, checkpointing):
    model = long_model(backbone, layers)
    padded, expected = step(model, examples, None)
    if checkpointing:
        model.gradient_checkpointing_enable()
    packed, gradients = step(model, examples, packing)
    assert packed.loss.item() == pytest.approx(padded.loss.item(), rel=1e-6)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_sharing_leaves_the_cross_entropy_of_a_sparse_model_equal(examples, backbone):
    model = long_model(backbone, (0, 2))
    padded, _ = step(model, examples, None)
    packed, _ = step(model, examples, Packing(share_prefix=True))
    assert cross_entropy(model, packed) == pytest.approx(cross_entropy(model, padded), rel=1e-6)


def test_without_sharing_the_balancing_loss_and_the_operations_are_equal_too(examples):
    model = long_model("llama", (0, 2))
    padded, _ = step(model, examples, None)
    packed, _ = step(model, examples, Packing())
    assert packed.aux_loss.item() == pytest.approx(padded.aux_loss.item(), rel=1e-6)
    rate = FlopRate(per_token=5.0, per_picture=300.0, per_pair=0.1)
    padded, packed, shared = (rate.of(Collator(0, packing)(examples)) for packing in (None, *PACKINGS))
    assert packed == pytest.approx(padded)
    assert shared < packed


def test_sharing_holds_each_picture_once(examples):
    whole, shared = (Collator(0, packing)(examples) for packing in PACKINGS)
    # three rounds and two rounds about one picture, two about two; "end" asks before it shows, and shares no picture
    assert len(whole["pixel_values"]) == 3 + 2 + 2 + 2 * 2
    assert len(shared["pixel_values"]) == 1 + 1 + 2 + 2
    assert shared["input_ids"].numel() < 0.7 * whole["input_ids"].numel()
