"""Attention for a packed row: every segment by itself, with the prefix that it shares.

A mask over the whole row would be computed for nothing nearly everywhere: of 18 items with 12 questions each, all in one
row, a token sees 1 % of the others. So segments of similar length are gathered into blocks, [segments, queries] against
[segments, keys], and each block is one call of `scaled_dot_product_attention`. transformers calls `block_attention` by
its name (`AttentionInterface`), and hands it the batch's `segments`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv
from transformers.models.stablelm.modeling_stablelm import StableLmDecoderLayer

from moellava.training.packing import Segment

__all__ = ["attention_blocks", "block_attention", "ordinary_attention", "use_block_attention"]

NAME = "moellava_blocks"
SHORTEST = 8  # tokens: all shorter segments share a block

Block = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def attention_blocks(segments: Sequence[Segment]) -> dict[str, Any]:
    """What `block_attention` needs to know of a row that consists of these segments.

    Returns a dict of
        `blocks`: a list of (`query_index`, `key_index`, `mask`): [segments, queries] and [segments, keys] int64 positions
            in the row, and [segments, 1, queries, keys] bool, True where a query may look. Prefixes are the first keys.
        `output_index`: [tokens] int64, for every token its place among all queries of all blocks.
        `pairs`: pairs of tokens in one conversation, each segment's square and both ways between it and its prefix.
    """
    alike: dict[tuple[int, int], list[Segment]] = defaultdict(list)
    for segment in segments:
        alike[_size_class(len(segment)), _size_class(segment.prefix_length)].append(segment)
    blocks, output_index, offset = [], np.zeros(segments[-1].end, dtype=np.int64), 0
    for some in alike.values():
        block = _block(some)
        queries = block[0].shape[1]
        for number, segment in enumerate(some):
            first = offset + number * queries
            output_index[segment.start : segment.end] = np.arange(first, first + len(segment))
        offset += len(some) * queries
        blocks.append(tuple(torch.from_numpy(array) for array in block))
    pairs = sum(len(segment) * (len(segment) + 2 * segment.prefix_length) for segment in segments)
    return {"blocks": blocks, "output_index": torch.from_numpy(output_index), "pairs": pairs}


def _size_class(length: int) -> int:
    """The next power of two; 0 for 0."""
    return 1 << (max(length, SHORTEST) - 1).bit_length() if length else 0


def _block(segments: Sequence[Segment]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count, prefixes = len(segments), max(segment.prefix_length for segment in segments)
    queries = max(len(segment) for segment in segments)
    query_index = np.zeros((count, queries), dtype=np.int64)
    key_index = np.zeros((count, prefixes + queries), dtype=np.int64)
    mask = np.zeros((count, 1, queries, prefixes + queries), dtype=bool)
    mask[..., prefixes:] = np.tri(queries, dtype=bool)  # padding sees padding, and nobody looks at what comes of it
    for number, segment in enumerate(segments):
        own = np.arange(segment.start, segment.end)
        query_index[number, : len(segment)] = own
        key_index[number, prefixes : prefixes + len(segment)] = own
        if segment.prefix:
            key_index[number, : segment.prefix_length] = np.arange(*segment.prefix)
            mask[number, ..., : segment.prefix_length] = True
    return query_index, key_index, mask


def block_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    segments: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """An attention implementation of transformers, for batches of one packed row.

    Args:
        query: [1, heads, tokens, head_dim]; `key` and `value` alike, with as many or fewer heads.
        segments: of `attention_blocks`.

    Returns: [1, tokens, heads, head_dim], and no weights.

    Raises:
        ValueError: no `segments`, so that the batch is not a packed one.
    """
    segments = segments or getattr(module, "segments", None)
    if segments is None:
        raise ValueError("this model's attention is set up for packed rows: call set_attn_implementation('sdpa')")
    groups = query.shape[1] // key.shape[1]
    query, key, value = (_rows(states) for states in (query, repeat_kv(key, groups), repeat_kv(value, groups)))
    outputs = []
    for query_index, key_index, mask in segments["blocks"]:
        output = scaled_dot_product_attention(
            _gathered(query, query_index),
            _gathered(key, key_index),
            _gathered(value, key_index),
            attn_mask=mask,
            dropout_p=dropout,
            scale=scaling,
        )
        outputs.append(output.transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs).index_select(0, segments["output_index"])[None], None


def _rows(states: torch.Tensor) -> torch.Tensor:
    """[1, heads, tokens, head_dim] → [tokens, heads, head_dim]."""
    return states[0].transpose(0, 1)


def _gathered(states: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """[tokens, heads, head_dim] at [segments, positions] → [segments, heads, positions, head_dim]."""
    return states.index_select(0, index.flatten()).unflatten(0, index.shape).transpose(1, 2)


def use_block_attention(model: PreTrainedModel) -> None:
    """Let the language model attend in blocks; its batches then need `segments`. Saved configurations do not tell."""
    AttentionInterface.register(NAME, block_attention)
    decoder: Any = model.get_decoder()
    decoder.config._attn_implementation = NAME
    for layer in decoder.layers:
        if isinstance(layer, StableLmDecoderLayer):
            layer.register_forward_pre_hook(_leave_segments, with_kwargs=True)


@contextmanager
def ordinary_attention(model: PreTrainedModel) -> Iterator[None]:
    """Inside, the language model attends as others do, so that it can generate while it is being trained."""
    config = model.get_decoder().config
    before = config._attn_implementation
    if before == NAME:
        config._attn_implementation = "sdpa"
    try:
        yield
    finally:
        config._attn_implementation = before


def _leave_segments(layer: Any, args: tuple, kwargs: Mapping[str, Any]) -> None:
    """Put `segments` where attention finds them: StableLM's layers alone do not pass on what they are given.

    A hook of the layer, because gradient checkpointing calls the layer again, after the model's pass has ended.
    """
    layer.self_attn.segments = kwargs.get("segments")
