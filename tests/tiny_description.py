"""How tests describe an architecture: what its tiny model and processor are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.tiny_sparse import GRID, QWEN_IDS, QWEN_TOKENS, TEXT, VISION

__all__ = ["Tiny", "glm", "llava_like", "qwen"]

DENSE = {key: value for key, value in TEXT.items() if key != "head_dim"}
TOWER = {**VISION, "num_hidden_layers": 2, "num_attention_heads": 2}
CLIP = {**TOWER, "model_type": "clip_vision_model"}
SIGLIP = {**TOWER, "model_type": "siglip_vision_model"}
LLAMA = {**DENSE, "model_type": "llama"}
QWEN2 = {**DENSE, "model_type": "qwen2"}
SQUARE = {"size": {"height": 16, "width": 16}}
PIXELS = {"size": {"shortest_edge": 256, "longest_edge": 1024}, "patch_size": 4}
MERGED = {**PIXELS, "merge_size": 2, "temporal_patch_size": 2}
QWEN_PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
SECTIONS = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}


@dataclass(frozen=True)
class Tiny:
    """What one architecture's model and processor are made of.

    Args:
        config: of the model; special tokens have the ids from 3.
        special: the tokenizer's special tokens.
        picture: what the chat template writes for one.
        image_processor: class name and its sizes.
        settings: of the processor itself.
        named: attributes of the tokenizer that name special tokens.
    """

    config: dict[str, Any]
    special: tuple[str, ...]
    picture: str
    image_processor: tuple[str, dict[str, Any]]
    settings: dict[str, Any] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)


def qwen(vision: dict[str, Any], text: dict[str, Any]) -> Tiny:
    return Tiny(
        {**QWEN_IDS, "text_config": text, "vision_config": vision},
        QWEN_TOKENS,
        QWEN_PICTURE,
        ("Qwen2VLImageProcessorPil", MERGED),
    )


def glm(
    image_processor: str,
    text: Mapping[str, Any] = {},
    vision: Mapping[str, Any] = {},
    settings: Mapping[str, Any] = {},
) -> Tiny:
    sections = {**SECTIONS, "partial_rotary_factor": 0.5, "mrope_section": [1, 1, 0]}
    return Tiny(
        {
            "image_start_token_id": 3,
            "image_end_token_id": 4,
            "image_token_id": 5,
            "video_token_id": 6,
            "text_config": {**TEXT, "rope_parameters": sections, **text},
            "vision_config": {**GRID, **vision},
        },
        ("<|begin_of_image|>", "<|end_of_image|>", "<|image|>", "<|video|>"),
        "<|begin_of_image|><|image|><|end_of_image|>",
        (image_processor, MERGED),
        dict(settings),
    )


def llava_like(**config: Any) -> dict[str, Any]:
    return {"image_token_index": 3, "text_config": LLAMA, "vision_config": CLIP, "vision_feature_layer": -1, **config}
