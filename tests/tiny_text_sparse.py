"""Tiny sparse models whose pictures need torchvision, or whose language model is sparse only if asked: tried with text."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from tests.tiny_sparse import TEXT

__all__ = ["TEXT_SPARSE", "tiny_text_sparse_model"]

SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
MOE = {"num_experts_per_tok": 2, "moe_intermediate_size": 16, "n_shared_experts": 1}
DEEPSEEK = {
    **MOE,
    "n_routed_experts": 4,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
}

TEXT_SPARSE: dict[str, dict[str, Any]] = {
    "minimax_m3_vl": {**MOE, "num_local_experts": 4},
    "kimi_k25": DEEPSEEK,
    "mistral_large4": DEEPSEEK,
    "inkling_mm_model": {**MOE, "n_routed_experts": 4},
    "internvl": {**MOE, "num_experts": 4, "model_type": "qwen3_moe"},
}
"""Settings of the language model, beside `TEXT`."""


def tiny_text_sparse_model(architecture: str) -> Any:
    """In evaluation mode, float32; weights depend on the architecture alone."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(architecture, text_config={**TEXT, **TEXT_SPARSE[architecture]})
    for name, value in SMALL.items():
        if isinstance(getattr(config.vision_config, name, None), int):
            setattr(config.vision_config, name, value)
    return AutoModelForImageTextToText.from_config(config).float().eval()
