"""Tiny sparse vision-language models of transformers with random weights: one configuration per architecture."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedConfig, PreTrainedTokenizerFast
from transformers.models.aria.image_processing_pil_aria import AriaImageProcessorPil
from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

__all__ = ["ARCHITECTURES", "SPECIAL", "tiny_sparse_config", "tiny_sparse_model", "write_tiny_sparse"]

TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 320,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION = {"hidden_size": 32, "intermediate_size": 48, "patch_size": 4, "image_size": 16}
GRID = {
    **VISION,
    "depth": 2,
    "num_heads": 2,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": 32,
}
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
LINEAR_ATTENTION = {
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "layer_types": ["linear_attention", "linear_attention", "full_attention"],
    "rope_parameters": {**MROPE, "partial_rotary_factor": 1.0},
}
IMAGE = {"image_token_id": 5}
QWEN_IDS = {"vision_start_token_id": 3, "vision_end_token_id": 4, "image_token_id": 5, "video_token_id": 6}
QWEN_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "qwen3_vl_moe": {
        **QWEN_IDS,
        "text_config": {
            **TEXT,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [1],
            "rope_parameters": MROPE,
        },
        "vision_config": {**GRID, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]},
    },
    "qwen3_5_moe": {
        **QWEN_IDS,
        "text_config": {
            **TEXT,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "shared_expert_intermediate_size": 16,
            **LINEAR_ATTENTION,
        },
        "vision_config": {**GRID, "num_position_embeddings": 16},
    },
    "aria": {
        "image_token_index": 5,
        "projector_patch_to_query_dict": {"49": 4},
        "text_config": {
            **TEXT,
            "model_type": "aria_text",
            "moe_num_experts": 4,
            "moe_topk": 2,
            "moe_num_shared_experts": 1,
        },
        "vision_config": {
            **VISION,
            "model_type": "idefics3_vision",
            "patch_size": 140,  # its processor insists on 980 pixels
            "image_size": 980,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
        },
    },
    "glm4v_moe": {
        **IMAGE,
        "text_config": {
            **TEXT,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "first_k_dense_replace": 1,
            "n_group": 1,
            "topk_group": 1,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 0]},
        },
        "vision_config": {**GRID, "patch_size": 4},
    },
    "llama4": {
        "image_token_index": 5,
        "text_config": {
            **TEXT,
            "num_local_experts": 4,
            "num_experts_per_tok": 1,
            "intermediate_size_mlp": 48,
            "interleave_moe_layer_step": 2,
        },
        "vision_config": {
            **VISION,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "vision_output_dim": 32,
            "projector_input_dim": 32,
            "projector_output_dim": 32,
            "intermediate_size": 128,
        },
    },
    "gemma4": {
        **IMAGE,
        "text_config": {
            **TEXT,
            "enable_moe_block": True,
            "num_experts": 4,
            "top_k_experts": 2,
            "moe_intermediate_size": 16,
            "hidden_size_per_layer_input": 0,
            "vocab_size_per_layer_input": 320,
            "num_kv_shared_layers": 0,
            "global_head_dim": 8,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
        },
        "vision_config": {
            **VISION,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "global_head_dim": 16,
        },
        "audio_config": None,
    },
}


def tiny_sparse_config(architecture: str, **text: Any) -> PreTrainedConfig:
    """`text` is set in the language model's configuration."""
    settings = ARCHITECTURES[architecture]
    return AutoConfig.for_model(architecture, **settings | {"text_config": settings["text_config"] | text})


def tiny_sparse_model(architecture: str, **text: Any) -> Any:
    """In evaluation mode, float32; weights depend on the configuration alone."""
    torch.manual_seed(0)
    return AutoModelForImageTextToText.from_config(tiny_sparse_config(architecture, **text)).float().eval()


SPECIAL = {
    "qwen3_vl_moe": QWEN_TOKENS,
    "qwen3_5_moe": QWEN_TOKENS,
    "glm4v_moe": ("<|begin_of_image|>", "<|end_of_image|>", "<|image|>", "<|video|>"),
    "aria": ("<begin>", "<end>", "<image>"),
}
"""Special tokens, of which the third is the picture's; the models whose processors can be made here without torchvision."""


def write_tiny_sparse(architecture: str, folder: Path) -> Path:
    """A folder with model, processor and chat template, made offline."""
    special = SPECIAL[architecture]
    tiny_sparse_model(architecture).save_pretrained(folder)
    extra = {"image_token": special[2]} if architecture == "aria" else {}
    byte_tokenizer(special, extra).save_pretrained(folder)
    if architecture == "aria":
        AriaImageProcessorPil().save_pretrained(folder)
        settings = {"processor_class": "AriaProcessor", "size_conversion": {"980": 4}}
        (folder / "processor_config.json").write_text(json.dumps(settings))
    else:
        grid = {"patch_size": 4, "merge_size": 2, "temporal_patch_size": 2}
        processor = Glm4vImageProcessorPil if architecture == "glm4v_moe" else Qwen2VLImageProcessorPil
        processor(size={"shortest_edge": 256, "longest_edge": 1024}, **grid).save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(
        TEMPLATE.replace("%IMAGE%", "".join((special[0], special[2], special[1])))
    )
    return folder


TEMPLATE = """\
{%- for message in messages -%}
  {{- message['role'] + ': ' -}}
  {%- for item in message['content'] -%}
    {{- '%IMAGE%' if item['type'] == 'image' else item['text'] -}}
  {%- endfor -%}
  {{- '\\n' -}}
{%- endfor -%}
{{- 'assistant: ' -}}
"""


def byte_tokenizer(special: tuple[str, ...], extra: dict[str, str]) -> PreTrainedTokenizerFast:
    """A token per byte; `special` get the ids from 3."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<pad>", "<s>", "</s>", *special, *alphabet])}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(special))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        unk_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens=extra,
    )
