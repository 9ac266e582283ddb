"""Configuration of Qwen-VL: a Llava whose tower and language model know what is peculiar to them."""

from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from transformers import CLIPVisionConfig, LlavaConfig, Qwen2Config

from moellava.subconfigs import as_config

__all__ = ["QwenVLConfig", "QwenVLTextConfig", "QwenVLVisionConfig"]

RESAMPLER_HEAD_SIZE = 128  # no key of the published configuration says so; source: Qwen-VL `visual.py`


@strict
class QwenVLVisionConfig(CLIPVisionConfig):
    """Tower and resampler; the defaults are the published sizes.

    Args:
        num_positions: rows of the table of positions, a square grid that is resized to that of the patches.
        num_queries: rows that a picture becomes, a square number.
        output_size: their width, which is the language model's.
    """

    model_type = "qwen_vl_vision"

    hidden_size: int = 1664
    intermediate_size: int = 8192
    num_hidden_layers: int = 48
    num_attention_heads: int = 16
    image_size: int = 448
    patch_size: int = 14
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    num_positions: int = 256
    num_queries: int = 256
    output_size: int = 4096

    @property
    def resampler_heads(self) -> int:
        """Attention heads of the resampler."""
        return self.output_size // RESAMPLER_HEAD_SIZE


@strict
class QwenVLTextConfig(Qwen2Config):
    """The first generation of Qwen, which is Qwen2 up to `seq_length` positions; the defaults are the 7B's sizes.

    Args:
        seq_length: from here on the two rules for long inputs act.
        use_dynamic_ntk: they stretch the rotary base by the length of the prompt, and
        use_logn_attn: sharpen the attention of late queries.
    """

    model_type = "qwen_vl_text"

    intermediate_size: int = 11008
    max_position_embeddings: int = 8192
    seq_length: int = 2048
    use_dynamic_ntk: bool = True
    use_logn_attn: bool = True


@strict
class QwenVLConfig(LlavaConfig):
    """Qwen-VL and Qwen-VL-Chat, which differ in weights and chat template only."""

    model_type = "qwen_vl"
    sub_configs: ClassVar = {"vision_config": QwenVLVisionConfig, "text_config": QwenVLTextConfig}

    vision_config: Any = None
    text_config: Any = None
    image_token_index: int = 151859
    image_seq_length: int = 256
    vision_feature_layer: int | list[int] = -1
    vision_feature_select_strategy: Literal["default", "full"] = "full"

    def __post_init__(self, **kwargs: Any):
        self.vision_config = as_config(self.vision_config, QwenVLVisionConfig)
        self.text_config = as_config(self.text_config, QwenVLTextConfig)
        super().__post_init__(**kwargs)
