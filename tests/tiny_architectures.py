"""Every architecture that the project was tried with: tiny random-weight models, each with a processor made offline."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForImageTextToText
from transformers.models.auto.image_processing_auto import get_image_processor_class_from_name

from tests.tiny_description import (
    CLIP,
    DENSE,
    LLAMA,
    MERGED,
    PIXELS,
    QWEN2,
    QWEN_PICTURE,
    SECTIONS,
    SIGLIP,
    SQUARE,
    TOWER,
    Tiny,
    glm,
    llava_like,
    qwen,
)
from tests.tiny_first_generation import FIRST_GENERATION, ONE_PICTURE, write_tiny_first_generation
from tests.tiny_newer import NEWER
from tests.tiny_sparse import ARCHITECTURES as SPARSE
from tests.tiny_sparse import (
    GRID,
    LINEAR_ATTENTION,
    MROPE,
    QWEN_IDS,
    QWEN_TOKENS,
    SPECIAL,
    TEMPLATE,
    TEXT,
    VISION,
    byte_tokenizer,
    write_tiny_sparse,
)
from tests.tiny_vlms import ARCHITECTURES as TESTED_WITH_PREFIX
from tests.tiny_vlms import save_tiny

__all__ = ["ARCHITECTURES", "ONE_PICTURE", "PICTURES_ONLY", "spread_weights", "write_tiny"]

DESCRIBED = {
    "qwen2_vl": qwen(
        {"embed_dim": 32, "hidden_size": 32, "depth": 2, "num_heads": 2, "patch_size": 4, "mlp_ratio": 2},
        {**DENSE, "rope_parameters": SECTIONS},
    ),
    "qwen2_5_vl": qwen(
        {**GRID, "window_size": 16, "fullatt_block_indexes": [1]},
        {**DENSE, "rope_parameters": SECTIONS},
    ),
    "qwen3_vl": qwen(
        {**GRID, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]},
        {**TEXT, "rope_parameters": MROPE},
    ),
    "qwen3_5": qwen(
        {**GRID, "num_position_embeddings": 16},
        {
            **TEXT,
            **LINEAR_ATTENTION,
        },
    ),
    "glm4v": glm("Glm4vImageProcessorPil"),
    "vipllava": Tiny(
        llava_like(vision_feature_layers=[-1, -2], projector_layernorm_eps=1e-5),
        ("<image>",),
        "<image>",
        ("CLIPImageProcessorPil", {**SQUARE, "crop_size": {"height": 16, "width": 16}}),
        {"patch_size": 4, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
    ),
    "paligemma": Tiny(
        {
            "image_token_index": 3,
            "projection_dim": 32,
            "text_config": {**TEXT, "model_type": "gemma"},
            "vision_config": {**SIGLIP, "projection_dim": 32},
        },
        ("<image>",),
        "<image>",
        ("SiglipImageProcessorPil", {**SQUARE, "image_seq_length": 16}),
        named={"image_token": "<image>"},
    ),
    "smolvlm": Tiny(
        {
            "image_token_id": 3,
            "scale_factor": 2,
            "text_config": LLAMA,
            "vision_config": {**TOWER, "image_size": 16, "patch_size": 4},
        },
        ("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"),
        "<image>",
        ("SmolVLMImageProcessorPil", {"size": {"longest_edge": 32}, "max_image_size": {"longest_edge": 16}}),
        {"image_seq_len": 4},
    ),
    "internvl": Tiny(
        {
            "image_token_id": 5,
            "image_seq_length": 4,
            "downsample_ratio": 0.5,
            "text_config": QWEN2,
            "vision_config": {**TOWER, "image_size": [16, 16], "patch_size": [4, 4]},
        },
        ("<img>", "</img>", "<IMG_CONTEXT>", "<video>"),
        "<IMG_CONTEXT>\\n",
        ("GotOcr2ImageProcessorPil", {**SQUARE, "crop_to_patches": False}),
        {"image_seq_length": 4},
        {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
    ),
    "idefics2": Tiny(
        {
            "image_token_id": 3,
            "text_config": {**DENSE, "model_type": "mistral"},
            "vision_config": TOWER,
            "perceiver_config": {
                "hidden_size": 32,
                "resampler_n_latents": 4,
                "resampler_depth": 1,
                "resampler_n_heads": 2,
                "resampler_head_dim": 16,
                "num_key_value_heads": 2,
            },
        },
        ("<image>", "<fake_token_around_image>", "<end_of_utterance>"),
        "<image>",
        ("Idefics2ImageProcessorPil", {"size": {"shortest_edge": 8, "longest_edge": 16}}),
        {"image_seq_len": 4},
    ),
    "llava_onevision": Tiny(
        {
            "image_token_index": 3,
            "video_token_index": 4,
            "text_config": QWEN2,
            "vision_config": {**SIGLIP, "vision_use_head": False},
            "vision_feature_layer": -1,
            "image_grid_pinpoints": [[16, 16], [16, 32]],
        },
        ("<image>", "<video>"),
        "<image>",
        ("LlavaOnevisionImageProcessorPil", {**SQUARE, "image_grid_pinpoints": [[16, 16], [16, 32]]}),
        {"num_image_tokens": 16, "vision_feature_select_strategy": "full", "vision_aspect_ratio": "anyres_max_9"},
    ),
    "aya_vision": Tiny(
        {
            "image_token_index": 9,
            "downsample_factor": 2,
            "text_config": {**DENSE, "model_type": "cohere2"},
            "vision_config": SIGLIP,
            "vision_feature_layer": -1,
        },
        ("<image>", "<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_LINE_BREAK|>", "TILE", "TILE_GLOBAL", "<|IMG_PATCH|>"),
        "<image>",
        ("GotOcr2ImageProcessorPil", {**SQUARE, "crop_to_patches": False}),
        {"patch_size": 4, "img_size": 16, "image_token": "<image>", "downsample_factor": 2},
    ),
    "glm46v": glm("Glm46VImageProcessorPil", text={"model_type": "glm4v_text"}, vision={"model_type": "glm4v_vision"}),
    "qianfan_ocr": Tiny(
        {
            "image_token_id": 5,
            "image_seq_length": 4,
            "downsample_ratio": 0.5,
            "text_config": {**TEXT, "model_type": "qwen3"},
            "vision_config": {**TOWER, "image_size": [16, 16], "patch_size": [4, 4]},
        },
        ("<img>", "</img>", "<IMG_CONTEXT>"),
        "<image>\\n",
        ("GotOcr2ImageProcessorPil", {**SQUARE, "crop_to_patches": False}),
        {"image_seq_length": 4},
        {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"},
    ),
    "video_llama_3": Tiny(
        {"image_token_id": 3, "video_token_id": 4, "text_config": QWEN2, "vision_config": TOWER},
        ("<image>", "<video>"),
        "<image>",
        ("VideoLlama3ImageProcessorPil", {**PIXELS, "merge_size": 1}),
        named={"image_token": "<image>", "video_token": "<video>"},
    ),
    "deepseek_vl": Tiny(
        {
            "image_token_id": 3,
            "text_config": LLAMA,
            "vision_config": {**SIGLIP, "vision_use_head": False},
        },
        ("<image_placeholder>",),
        "<image_placeholder>",
        ("DeepseekVLImageProcessorPil", {**SQUARE, "min_size": 8}),
        {"num_image_tokens": 16},
        {"image_token": "<image_placeholder>"},
    ),
    "paddleocr_vl": Tiny(
        {
            **QWEN_IDS,
            "text_config": {**TEXT, "rope_parameters": {**SECTIONS, "mrope_section": [1, 1, 2]}},
            "vision_config": {**TOWER, "spatial_merge_size": 2},
        },
        ("<|IMAGE_START|>", "<|IMAGE_END|>", "<|IMAGE_PLACEHOLDER|>", "<|video_pad|>"),
        "<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>",
        ("PaddleOCRVLImageProcessorPil", {**PIXELS, "merge_size": 2}),
        named={"image_token": "<|IMAGE_PLACEHOLDER|>"},
    ),
    "llava_next_video": Tiny(
        {
            "image_token_index": 3,
            "video_token_index": 4,
            "text_config": LLAMA,
            "vision_config": CLIP,
            "vision_feature_layer": -1,
            "image_grid_pinpoints": [[16, 32], [32, 16]],
        },
        ("<image>", "<video>"),
        "<image>",
        (
            "LlavaNextImageProcessorPil",
            {
                "size": {"shortest_edge": 16},
                "crop_size": {"height": 16, "width": 16},
                "image_grid_pinpoints": [[16, 32], [32, 16]],
            },
        ),
        {"patch_size": 4, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
    ),
    "gemma4": Tiny(
        {**SPARSE["gemma4"], "vision_config": {**SPARSE["gemma4"]["vision_config"], "pooling_kernel_size": 2}},
        ("<boi>", "<eoi>", "<image>", "<audio>"),
        "<image>",
        ("Gemma4ImageProcessorPil", {"patch_size": 4, "max_soft_tokens": 70, "pooling_kernel_size": 2}),
        {"image_seq_length": 70},
        {
            "image_token": "<image>",
            "boi_token": "<boi>",
            "eoi_token": "<eoi>",
            "audio_token": "<audio>",
            "boa_token": "<audio>",
            "eoa_token": "<audio>",
        },
    ),
    "exaone4_5": qwen(
        {**GRID, "window_size": 16, "fullatt_block_indexes": [1], "num_key_value_heads": 2},
        {**TEXT, "model_type": "exaone4"},
    ),
    "hyperclovax_vision_v2": qwen(
        {**GRID, "window_size": 16, "fullatt_block_indexes": [1], "model_type": "qwen2_5_vl_vision"},
        {**TEXT, "model_type": "hyperclovax"},
    ),
    "lfm3_vl": Tiny(
        {"image_token_id": 5, "video_token_id": 6, "text_config": TEXT, "vision_config": TOWER},
        QWEN_TOKENS,
        QWEN_PICTURE,
        ("Qwen2VLImageProcessorPil", MERGED),
    ),
    "ovis2": Tiny(
        {
            "image_token_id": 9,
            "visual_indicator_token_ids": [4, 5, 6, 7, 8],
            "hidden_size": 32,
            "vocab_size": 320,
            "text_config": QWEN2,
            "vision_config": {**TOWER, "vocab_size": 16, "hidden_stride": 2},
        },
        ("<image>", "<I0>", "<I1>", "<I2>", "<I3>", "<I4>", "<IMG_ATOM>"),
        "<image>",
        ("Ovis2ImageProcessorPil", {**SQUARE, "crop_to_patches": False}),
        {"image_token": "<image>", "image_seq_length": 4},
        {"image_token": "<IMG_ATOM>"},
    ),
    "mllama": Tiny(
        {
            "image_token_index": 3,
            "text_config": {
                **DENSE,
                "cross_attention_layers": [1],
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            },
            "vision_config": {
                **VISION,
                "attention_heads": 2,
                "num_hidden_layers": 2,
                "num_global_layers": 1,
                "vision_output_dim": 64,
                "intermediate_layers_indices": [0],
                "max_num_tiles": 1,
                "supported_aspect_ratios": [[1, 1]],
            },
        },
        ("<|image|>",),
        "<|image|>",
        ("MllamaImageProcessorPil", {**SQUARE, "max_image_tiles": 1}),
        named={"image_token": "<|image|>"},
    ),
    "video_llava": Tiny(
        {
            "image_token_index": 3,
            "video_token_index": 4,
            "image_seq_length": 16,
            "text_config": LLAMA,
            "vision_config": CLIP,
            "vision_feature_layer": -1,
        },
        ("<image>", "<video>"),
        "<image>",
        ("VideoLlavaImageProcessor", {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}),
        {"patch_size": 4, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
    ),
    "deepseek_vl_hybrid": Tiny(
        {
            "image_token_id": 3,
            "text_config": LLAMA,
            "vision_config": {**SIGLIP, "vision_use_head": False},
            "high_res_vision_config": {
                "model_type": "sam_vision_model",
                "hidden_size": 32,
                "output_channels": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 64,
                "patch_size": 4,
                "mlp_dim": 48,
                "window_size": 4,
                "global_attn_indexes": [1],
            },
        },
        ("<image_placeholder>",),
        "<image_placeholder>",
        (
            "DeepseekVLHybridImageProcessorPil",
            {**SQUARE, "min_size": 8, "high_res_size": {"height": 64, "width": 64}},
        ),
        {"num_image_tokens": 16},
        {"image_token": "<image_placeholder>"},
    ),
}

OLDEST = tuple(name for name in FIRST_GENERATION if not name.endswith("-t5"))
ARCHITECTURES = (*TESTED_WITH_PREFIX, *SPECIAL, *DESCRIBED, *NEWER, *OLDEST)
PICTURES_ONLY = ("paligemma", *(name for name in ONE_PICTURE if name in OLDEST))
"""Those whose processor refuses a text without a picture."""


def write_tiny(architecture: str, folder: Path) -> Path:
    """A folder with model, processor and chat template; the same for the same name."""
    if architecture in TESTED_WITH_PREFIX:
        return save_tiny(architecture, folder)
    if architecture in SPECIAL:
        return write_tiny_sparse(architecture, folder)
    if architecture in FIRST_GENERATION:
        return write_tiny_first_generation(architecture, folder)
    tiny = (DESCRIBED | NEWER)[architecture]
    torch.manual_seed(0)
    AutoModelForImageTextToText.from_config(AutoConfig.for_model(architecture, **tiny.config)).save_pretrained(folder)
    byte_tokenizer(tiny.special, tiny.named).save_pretrained(folder)
    name, sizes = tiny.image_processor
    get_image_processor_class_from_name(name)(**sizes).save_pretrained(folder)
    (folder / "processor_config.json").write_text(json.dumps(tiny.settings))
    (folder / "chat_template.jinja").write_text(TEMPLATE.replace("%IMAGE%", tiny.picture))
    return folder


def spread_weights(folder: Path) -> None:
    """Move a tiny model's language weights apart, so that its answers depend on what it is asked."""
    path, generator = folder / "model.safetensors", torch.Generator().manual_seed(0)
    state = load_file(path)
    for name, value in sorted(state.items()):
        if value.ndim == 2 and value.is_floating_point() and "vision" not in name:
            state[name] = value + 0.25 * torch.randn(value.shape, generator=generator)
    save_file(state, path, metadata={"format": "pt"})
