"""Qwen-VL's language model: Qwen2, and two rules for inputs longer than those it was trained with.

The rotary base grows with the length of the prompt (dynamic NTK) and stays so while an answer is decoded; queries at late
positions are multiplied by log(position) / log(seq_length). Positions are those of the text: padding does not count, so
that an answer does not depend on its neighbours in a batch. Source: Qwen-VL `modeling_qwen.py`; spec/peer_models.md 1.4.

Shapes: B prompts, S positions of this pass, H heads, D head size.
"""

import math
from typing import Any

import torch
from transformers import Cache, DynamicCache, Qwen2Model
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.qwen2.modeling_qwen2 import (
    Qwen2Attention,
    Qwen2RotaryEmbedding,
    apply_rotary_pos_emb,
    eager_attention_forward,
)

from moellava.peers.qwen_vl.configuration import QwenVLTextConfig

__all__ = ["QwenVLTextModel", "ntk_alpha"]


def ntk_alpha(length: torch.Tensor, seq_length: int) -> torch.Tensor:
    """By how much the rotary base of prompts of these lengths [B] is stretched, before its exponent; float64, 1 at least."""
    power = torch.ceil(torch.log2(length.double() / seq_length) + 1)
    return (2**power - 1).clamp(min=1)


class QwenVLRotaryEmbedding(Qwen2RotaryEmbedding):
    """Rotary positions whose base depends on the length of the prompt, which the model sets before every pass."""

    prompt_length: torch.Tensor | None = None  # [B] or [1]

    @torch.no_grad()
    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines, each [B, S, D], in the dtype of x."""
        if not self.config.use_dynamic_ntk or self.prompt_length is None:
            return super().forward(x, position_ids)
        size = 2 * len(self.inv_freq)
        alpha = ntk_alpha(self.prompt_length.to(x.device), self.config.seq_length)
        rope: Any = self.config.rope_parameters
        base = (rope["rope_theta"] * alpha ** (size / (size - 2))).float()
        exponents = torch.arange(0, size, 2, device=x.device).float() / size
        inv_freq = 1.0 / base[:, None] ** exponents  # [B, D / 2]
        angles = position_ids[..., None].float() * inv_freq[:, None]  # [B, S, D / 2]
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


class QwenVLAttention(Qwen2Attention):
    """Qwen2's attention with one more line: `query_scale` [B, S] multiplies the rotated queries."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None,
        past_key_values: Cache | None = None,
        query_scale: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As `Qwen2Attention.forward`."""
        shape = (*hidden_states.shape[:-1], -1, self.head_dim)
        query, key, value = (
            projection(hidden_states).view(shape).transpose(1, 2)  # [B, H, S, D]
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
        if query_scale is not None:
            query = query * query_scale[:, None, :, None].to(query.dtype)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        dropout = self.attention_dropout if self.training else 0.0
        output, weights = attend(
            self, query, key, value, attention_mask, dropout=dropout, scaling=self.scaling, **kwargs
        )
        return self.o_proj(output.flatten(2)), weights


class QwenVLTextModel(Qwen2Model):
    """Qwen2's decoder with both rules; the length of the prompt is kept with its cache."""

    config: QwenVLTextConfig
    _can_record_outputs = {**Qwen2Model._can_record_outputs, "attentions": QwenVLAttention}  # noqa: RUF012

    def __init__(self, config: QwenVLTextConfig):
        super().__init__(config)
        self.rotary_emb = QwenVLRotaryEmbedding(config)
        for index, layer in enumerate(self.layers):
            layer.self_attn = QwenVLAttention(config, index)
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: Any = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """As `Qwen2Model.forward`; without a cache the rotary base is chosen by the length of this pass."""
        inputs_embeds = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if past_key_values is None and (self.config.use_cache if use_cache is None else use_cache):
            past_key_values = DynamicCache(config=self.config)
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        if position_ids is None:
            position_ids = torch.arange(inputs_embeds.shape[1], device=inputs_embeds.device)[None] + past
        self.rotary_emb.prompt_length = _prompt_length(position_ids, past_key_values, past)
        if self.config.use_logn_attn:
            scale = torch.log(position_ids.float() + 1) / math.log(self.config.seq_length)
            kwargs["query_scale"] = scale.clamp(min=1)
        return super().forward(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )


def _prompt_length(position_ids: torch.Tensor, cache: Any, past: int) -> torch.Tensor:
    """Positions of each prompt, [B] or [1]: those of this pass, or of the first that filled the cache."""
    if past and hasattr(cache, "prompt_length"):
        known: torch.Tensor = cache.prompt_length
        return known
    length = position_ids.amax(-1) + 1
    if cache is not None:
        cache.prompt_length = length
    return length
