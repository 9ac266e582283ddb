"""Configuration of TinyGPT-V: a Llava whose projector is a Q-Former, over a Phi-2 with more norms."""

from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from transformers import Blip2QFormerConfig, Blip2VisionConfig, LlavaConfig, PhiConfig
from transformers.configuration_utils import SubConfigSpec

__all__ = ["TinyGPTVConfig", "TinyGPTVTextConfig"]


@strict
class TinyGPTVTextConfig(PhiConfig):
    """Phi with norms on queries and keys, and one on what comes out of the attention; the defaults are Phi-2's sizes.

    Args:
        post_layernorm_eps: of the latter.
    """

    model_type = "tinygpt_v_text"

    vocab_size: int = 51200
    hidden_size: int = 2560
    intermediate_size: int = 10240
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    qk_layernorm: bool = True
    post_layernorm_eps: float = 1e-6


@strict
class TinyGPTVConfig(LlavaConfig):
    """EVA tower, Q-Former, two projections, Phi.

    Args:
        qformer_config: of the Q-Former.
        num_query_tokens: rows that a picture becomes.
        projector_hidden_size: width between the two projections.
        vision_norm_eps: of the norm after the tower, which has an epsilon of its own.
    """

    model_type = "tinygpt_v"
    sub_configs_defaults: ClassVar = {
        "vision_config": SubConfigSpec(config_class=Blip2VisionConfig, init_kwargs={"image_size": 448}),
        "qformer_config": SubConfigSpec(config_class=Blip2QFormerConfig),
        "text_config": SubConfigSpec(config_class=TinyGPTVTextConfig),
    }

    vision_config: Any = None
    qformer_config: Any = None
    text_config: Any = None
    num_query_tokens: int = 32
    projector_hidden_size: int = 4096
    vision_norm_eps: float = 1e-5
    image_token_index: int = 50295
    image_seq_length: int = 32
    vision_feature_layer: int | list[int] = -1
    vision_feature_select_strategy: Literal["default", "full"] = "full"
    codebase: str | None = "tinygpt-v"
