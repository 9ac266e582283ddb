"""Attention in blocks is attention under the mask of the whole row: outputs, gradients, and what the model makes of it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from moellava.training.block_attention import attention_blocks, block_attention, use_block_attention
from moellava.training.packing import Segment
from tests.segments import sight
from tests.tiny_models import tiny_inputs, tiny_model

HEAD_DIM = 4


@st.composite
def rows(draw) -> list[Segment]:
    """Segments of a row: conversations of their own, and prefixes with the branches that share them."""
    segments, end = [], 0
    for shared in draw(st.lists(st.sampled_from([0, 1, 5, 8, 20]), min_size=1, max_size=3)):
        prefix = (end, end + shared) if shared else None
        parts = [(shared, None)] if shared else []
        parts += [(length, prefix) for length in draw(st.lists(st.integers(1, 20), min_size=1, max_size=4))]
        for length, seen in parts:
            segments.append(Segment(end, end + length, seen))
            end += length
    return segments


def states(tokens: int, heads: int, seed: int) -> torch.Tensor:
    """[1, heads, tokens, HEAD_DIM] float64 that want a gradient; double, so that equal means equal."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, heads, tokens, HEAD_DIM, dtype=torch.float64, generator=generator).requires_grad_()


@given(rows(), st.sampled_from([(1, 1), (4, 4), (4, 2), (6, 1)]), st.sampled_from([None, 0.3]))
def test_blocks_give_the_outputs_and_gradients_of_the_whole_mask(segments, heads, scaling):
    tokens, (query_heads, key_heads) = segments[-1].end, heads
    given = [states(tokens, count, seed) for seed, count in enumerate((query_heads, key_heads, key_heads))]
    output, weights = block_attention(nn.Module(), *given, None, scaling, segments=attention_blocks(segments))
    expected = scaled_dot_product_attention(*given, attn_mask=sight(segments), scale=scaling, enable_gqa=True)
    expected = expected.transpose(1, 2)
    assert weights is None
    torch.testing.assert_close(output, expected)
    upstream = torch.randn(output.shape, dtype=output.dtype, generator=torch.Generator().manual_seed(9))
    for found, wanted in zip(
        torch.autograd.grad(output, given, upstream), torch.autograd.grad(expected, given, upstream), strict=True
    ):
        torch.testing.assert_close(found, wanted)


@given(rows())
def test_every_token_is_the_query_of_one_place_and_sees_what_it_may(segments):
    made, allowed = attention_blocks(segments), sight(segments)
    places = [
        (query.item(), sorted(keys[sees].tolist()))
        for queries, key_index, mask in made["blocks"]
        for of_segment, keys, look in zip(queries, key_index, mask[:, 0], strict=True)
        for query, sees in zip(of_segment, look, strict=True)
    ]
    assert len(made["output_index"].unique()) == len(made["output_index"]) == segments[-1].end
    for token, place in enumerate(made["output_index"].tolist()):
        assert places[place] == (token, allowed[token].nonzero().flatten().tolist())


@given(rows())
def test_padding_at_most_doubles_what_is_computed(segments):
    """Short segments aside, which are padded to at most 8 tokens."""
    room = [
        2 * max(length, 8) if length else 0 for segment in segments for length in (len(segment), segment.prefix_length)
    ]
    blocks = attention_blocks(segments)["blocks"]
    assert sum(query_index.numel() for query_index, _, _ in blocks) <= sum(room[::2])
    assert sum(key_index.numel() for _, key_index, _ in blocks) <= sum(room)


@given(rows())
def test_pairs_are_those_of_each_segment_with_itself_and_both_ways_with_its_prefix(segments):
    seen = sight(segments)
    assert attention_blocks(segments)["pairs"] == (seen | seen.T).sum()


def test_short_segments_share_a_block_and_a_long_one_has_its_own():
    lengths, segments, end = (3, 100, 5, 8), [], 0
    for length in lengths:
        segments.append(Segment(end, end + length))
        end += length
    assert sorted(tuple(queries.shape) for queries, _, _ in attention_blocks(segments)["blocks"]) == [(1, 100), (3, 8)]


@pytest.mark.parametrize("backbone", ["llama", "stablelm"])
def test_a_batch_that_is_not_packed_is_refused(backbone):
    model = tiny_model(backbone)
    use_block_attention(model)
    with pytest.raises(ValueError, match=r"set up for packed rows: call set_attn_implementation\('sdpa'\)"):
        model(**tiny_inputs("clip", "<image>\nWhat is it?"))


@pytest.mark.parametrize("backbone", ["llama", "stablelm"])
def test_the_model_can_go_back_to_padded_rows(backbone):
    model, inputs = tiny_model(backbone), tiny_inputs("clip", "<image>\nWhat is it?")
    expected = model(**inputs).logits
    use_block_attention(model)
    length = inputs["input_ids"].shape[1]
    packed = model(**inputs, segments=attention_blocks([Segment(0, length)])).logits
    model.set_attn_implementation("sdpa")
    torch.testing.assert_close(packed, expected, rtol=0, atol=2e-5)
    assert torch.equal(model(**inputs).logits, expected)


def test_the_tower_attends_as_before():
    model = tiny_model()
    use_block_attention(model)
    assert model.get_decoder().config._attn_implementation == "moellava_blocks"
    assert model.model.vision_tower.config._attn_implementation == "sdpa"
