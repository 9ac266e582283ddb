"""Qwen-VL's eyes: a vision transformer without class token, and a resampler that makes 256 rows of any picture.

Source: Qwen-VL `visual.py`; spec/peer_models.md section 1.2.

Shapes: B pictures, P patches (row by row), D tower width, Q queries, O output width.
"""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.clip.modeling_clip import CLIPEncoder, CLIPEncoderLayer

from moellava.peers.positions import resize_table
from moellava.peers.qwen_vl.configuration import QwenVLVisionConfig

__all__ = ["QwenVLVisionModel", "Resampler"]


class Resampler(nn.Module):
    """One cross-attention from learned queries to the patches: [B, P, D] -> [B, Q, O].

    Keys carry positions, values do not. There is no residual and no feed-forward layer.

    Args:
        num_queries: a square number.
        output_size: width of the result.
        num_heads: of the attention.
        kv_size: width of the patches.
        eps: of both norms.
    """

    def __init__(self, num_queries: int, output_size: int, num_heads: int, kv_size: int, eps: float = 1e-6):
        super().__init__()
        # A fixed table of sines that checkpoints store, rounded: theirs is used.
        self.pos_embed = nn.Parameter(torch.zeros(num_queries, output_size), requires_grad=False)
        self.query = nn.Parameter(torch.zeros(num_queries, output_size))
        self.kv_proj = nn.Linear(kv_size, output_size, bias=False)
        self.attn = nn.MultiheadAttention(output_size, num_heads, batch_first=True)
        self.ln_q = nn.LayerNorm(output_size, eps=eps)
        self.ln_kv = nn.LayerNorm(output_size, eps=eps)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Rows [B, Q, O] of patches [B, P, D], where P is a square number."""
        values = self.ln_kv(self.kv_proj(patches))
        keys = values + resize_table(self.pos_embed, patches.shape[1]).to(values.dtype)
        queries = (self.ln_q(self.query) + self.pos_embed).expand(len(patches), -1, -1)
        return self.attn(queries, keys, values, need_weights=False)[0]


class QwenVLVisionModel(PreTrainedModel):
    """Pictures [B, 3, image_size, image_size] -> `pooler_output` [B, Q, O], which enter the language model as they are."""

    config: QwenVLVisionConfig
    main_input_name = "pixel_values"
    input_modalities = "image"
    _no_split_modules = ["CLIPEncoderLayer", "Resampler"]  # noqa: RUF012 (transformers' interface)
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": CLIPEncoderLayer}  # noqa: RUF012

    def __init__(self, config: QwenVLVisionConfig):
        super().__init__(config)
        width, output, eps = config.hidden_size, config.output_size, config.layer_norm_eps
        self.patch_embedding = nn.Conv2d(3, width, config.patch_size, config.patch_size, bias=False)
        self.position_embedding = nn.Parameter(torch.zeros(config.num_positions, width))
        self.pre_layernorm = nn.LayerNorm(width, eps=eps)
        self.encoder = CLIPEncoder(config)  # type: ignore[arg-type]  # it reads the keys of a tower only
        self.resampler = Resampler(config.num_queries, output, config.resampler_heads, width, eps)
        self.post_layernorm = nn.LayerNorm(output, eps=eps)
        self.projection = nn.Parameter(torch.zeros(output, output))  # applied from the right, not transposed
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, Resampler):
            init.normal_(module.query, std=0.02)
            init.normal_(module.pos_embed, std=0.02)
        elif isinstance(module, QwenVLVisionModel):
            init.normal_(module.position_embedding, std=module.config.hidden_size**-0.5)
            init.normal_(module.projection, std=module.config.output_size**-0.5)

    def forward(self, pixel_values: torch.Tensor, **kwargs: Any) -> BaseModelOutputWithPooling:
        """`last_hidden_state` are the patches [B, P, D] after the last block."""
        pixel_values = pixel_values.to(self.patch_embedding.weight.dtype)
        patches = self.patch_embedding(pixel_values).flatten(2).transpose(1, 2)  # [B, P, D]
        positions = resize_table(self.position_embedding, patches.shape[1]).to(patches.dtype)
        patches = self.pre_layernorm(patches + positions)
        patches = self.encoder(inputs_embeds=patches).last_hidden_state
        rows = self.post_layernorm(self.resampler(patches)) @ self.projection  # [B, Q, O]
        return BaseModelOutputWithPooling(last_hidden_state=patches, pooler_output=rows)
