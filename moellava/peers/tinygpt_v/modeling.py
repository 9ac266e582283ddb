"""TinyGPT-V as a difference from transformers' Llava: BLIP-2's tower and Q-Former, and Phi with more norms.

Source: TinyGPT-V `mini_gpt4.py`, `modeling_phi.py`; spec/peer_models.md section 2.1.

Shapes: B pictures, P patches and class token, D tower width, Q query tokens, H hidden width of the language model.
"""

from typing import Any

import torch
from torch import nn
from transformers import (
    Blip2QFormerModel,
    Blip2VisionModel,
    LlavaForConditionalGeneration,
    LlavaModel,
    PhiModel,
)
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.llava.modeling_llava import LlavaPreTrainedModel
from transformers.models.phi.modeling_phi import PhiAttention

from moellava.peers.tinygpt_v.configuration import TinyGPTVConfig, TinyGPTVTextConfig

__all__ = ["TinyGPTVForConditionalGeneration", "TinyGPTVModel", "TinyGPTVTextModel"]


class TinyGPTVAttention(PhiAttention):
    """Phi's attention, whose output is normalised before it is added to the residual stream."""

    def __init__(self, config: TinyGPTVTextConfig, layer_idx: int):
        super().__init__(config, layer_idx)
        self.post_layernorm = nn.RMSNorm(config.hidden_size, eps=config.post_layernorm_eps)

    def forward(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As `PhiAttention.forward`."""
        output, weights = super().forward(*args, **kwargs)
        return self.post_layernorm(output), weights


class TinyGPTVTextModel(PhiModel):
    """Phi's decoder with that attention."""

    config: TinyGPTVTextConfig
    _can_record_outputs = {**PhiModel._can_record_outputs, "attentions": TinyGPTVAttention}  # noqa: RUF012

    def __init__(self, config: TinyGPTVTextConfig):
        super().__init__(config)
        for index, layer in enumerate(self.layers):
            layer.self_attn = TinyGPTVAttention(config, index)
        self.post_init()


class TinyGPTVProjector(nn.Module):
    """A Q-Former that reads the patches into its queries, and two projections with nothing between: [B, P, D] -> [B, Q, H]."""

    def __init__(self, config: TinyGPTVConfig):
        super().__init__()
        width = config.qformer_config.hidden_size
        self.query_tokens = nn.Parameter(torch.zeros(1, config.num_query_tokens, width))
        self.qformer = Blip2QFormerModel._from_config(config.qformer_config)
        self.linear_1 = nn.Linear(width, config.projector_hidden_size)
        self.linear_2 = nn.Linear(config.projector_hidden_size, config.text_config.hidden_size)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Rows [B, Q, H] for the language model."""
        queries = self.query_tokens.expand(len(patches), -1, -1)
        rows = self.qformer(query_embeds=queries, encoder_hidden_states=patches).last_hidden_state
        return self.linear_2(self.linear_1(rows.to(self.linear_1.weight.dtype)))


class TinyGPTVPreTrainedModel(LlavaPreTrainedModel):
    config: TinyGPTVConfig

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, TinyGPTVProjector):
            init.normal_(module.query_tokens, std=0.02)


class TinyGPTVModel(TinyGPTVPreTrainedModel, LlavaModel):
    """EVA tower, Q-Former with projections, Phi."""

    def __init__(self, config: TinyGPTVConfig):
        super(LlavaModel, self).__init__(config)
        self.vision_tower = Blip2VisionModel._from_config(config.vision_config)
        self.vision_tower.post_layernorm.eps = config.vision_norm_eps  # BLIP-2's tower has one epsilon for all norms
        self.multi_modal_projector = TinyGPTVProjector(config)  # type: ignore[assignment]
        self.language_model = TinyGPTVTextModel._from_config(config.text_config)
        self.post_init()

    def get_image_features(self, pixel_values: torch.Tensor, **kwargs: Any) -> BaseModelOutputWithPooling:
        """`pooler_output`: for each picture of `pixel_values` [B, 3, height, width] its rows [Q, H]."""
        patches = self.vision_tower(pixel_values).last_hidden_state  # [B, P, D]
        return BaseModelOutputWithPooling(
            last_hidden_state=patches,
            pooler_output=list(self.multi_modal_projector(patches)),  # type: ignore[arg-type]  # as Llava returns it
        )


class TinyGPTVForConditionalGeneration(TinyGPTVPreTrainedModel, LlavaForConditionalGeneration):
    """TinyGPT-V with Phi's head, which has a bias."""

    def __init__(self, config: TinyGPTVConfig):
        super(LlavaForConditionalGeneration, self).__init__(config)
        self.model = TinyGPTVModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=True)
        self.post_init()
