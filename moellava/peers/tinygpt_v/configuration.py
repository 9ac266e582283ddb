"""Configuration of TinyGPT-V: a Llava whose projector is a Q-Former, over a Phi-2 with more norms."""

from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from transformers import Blip2QFormerConfig, Blip2VisionConfig, LlavaConfig, PhiConfig

from moellava.subconfigs import as_config

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
    sub_configs: ClassVar = {
        "vision_config": Blip2VisionConfig,
        "qformer_config": Blip2QFormerConfig,
        "text_config": TinyGPTVTextConfig,
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

    def __post_init__(self, **kwargs: Any):
        self.vision_config = as_config(self.vision_config, Blip2VisionConfig, image_size=448)
        self.qformer_config = as_config(self.qformer_config, Blip2QFormerConfig)
        self.text_config = as_config(self.text_config, TinyGPTVTextConfig)
        super().__post_init__(**kwargs)

    @classmethod
    def default_config_fields(cls):
        """Also of the Q-Former: transformers from 5.20 on leaves out of `config.json` what every configuration has."""
        return {**super().default_config_fields(), "qformer_config": {}}
