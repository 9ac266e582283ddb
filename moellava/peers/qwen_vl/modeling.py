"""Qwen-VL as a difference from transformers' Llava: its own tower and language model, and no projector between them."""

from typing import Any

import torch
from torch import nn
from transformers import LlavaForConditionalGeneration, LlavaModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from moellava.peers.qwen_vl.configuration import QwenVLConfig

__all__ = ["QwenVLForConditionalGeneration", "QwenVLModel"]


class QwenVLModel(LlavaModel):
    """Tower with resampler, and a language model in whose width its rows already are."""

    config: QwenVLConfig

    def __init__(self, config: QwenVLConfig):
        super().__init__(config)
        self.multi_modal_projector = nn.Identity()  # type: ignore[assignment]
        self.post_init()

    def get_image_features(self, pixel_values: torch.Tensor, **kwargs: Any) -> BaseModelOutputWithPooling:
        """`pooler_output`: for each picture of `pixel_values` [B, 3, height, width] its rows [queries, hidden]."""
        output: Any = self.vision_tower(pixel_values)
        return BaseModelOutputWithPooling(
            last_hidden_state=output.last_hidden_state,
            pooler_output=list(output.pooler_output),  # type: ignore[arg-type]  # a list, as Llava returns it
        )


class QwenVLForConditionalGeneration(LlavaForConditionalGeneration):
    """Qwen-VL and Qwen-VL-Chat."""

    config: QwenVLConfig

    def __init__(self, config: QwenVLConfig):
        super(LlavaForConditionalGeneration, self).__init__(config)
        self.model = QwenVLModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()
