"""How many parameters a model has and activates, and what a token costs, from its configuration alone.

Nothing is allocated: the model is laid out on the meta device.
"""

from collections import Counter
from dataclasses import dataclass

import torch

from moellava.configuration import MoELlavaConfig
from moellava.modeling import MoELlavaForConditionalGeneration

__all__ = ["Flops", "ParameterCount", "count_parameters", "forward_flops"]

VISION = ("vision tower", "projector")
PARTS = (
    ("model.vision_tower.", "vision tower"),
    ("model.multi_modal_projector.", "projector"),
    ("embed_tokens", "embedding"),
    ("lm_head", "head"),
    ("self_attn", "attention"),
    (".mlp.experts.", "experts"),
    (".mlp.router.", "router"),
    (".mlp.", "dense FFN"),
    ("norm", "norms"),
)


@dataclass(frozen=True)
class ParameterCount:
    """Parameters by part, and how many of the experts' one token does not use.

    `llm_*` leave vision tower and projector out, as MoE-LLaVA's paper counts; embeddings and head are counted in full.
    """

    parts: dict[str, int]
    idle: int

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    @property
    def activated(self) -> int:
        return self.total - self.idle

    @property
    def llm_total(self) -> int:
        return self.total - sum(self.parts.get(part, 0) for part in VISION)

    @property
    def llm_activated(self) -> int:
        return self.llm_total - self.idle


def _meta_model(config: MoELlavaConfig) -> MoELlavaForConditionalGeneration:
    with torch.device("meta"):
        return MoELlavaForConditionalGeneration(config)


def count_parameters(config: MoELlavaConfig) -> ParameterCount:
    """Parameters of a model, tied ones once.

    Source of the convention: spec/checkpoints.md section 7 ("activated" is everything but the num_experts - top_k idle
    experts of each sparse layer).
    """
    model = _meta_model(config)
    parts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        parts[next(part for fragment, part in PARTS if fragment in name)] += parameter.numel()
    idle = 0
    for block in model.model.sparse_blocks().values():
        experts = sum(parameter.numel() for parameter in block.experts.parameters())
        idle += experts // block.router.num_experts * (block.router.num_experts - config.moe.top_k)
    return ParameterCount(dict(parts), idle)


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of one forward pass, a multiply-add counted as two, matrix products only.

    `image`: tower and projector for one picture. `prefill`: the language model over `tokens` tokens (picture rows
    included). `decode`: one further token after them.
    """

    tokens: int
    image: int
    prefill: int
    decode: int

    @property
    def per_token(self) -> float:
        """Everything up to the first answer token, per image and text token."""
        return (self.image + self.prefill) / self.tokens


def forward_flops(config: MoELlavaConfig, text_tokens: int = 64) -> Flops:
    """Cost of a prompt with one picture and `text_tokens` text tokens.

    Agrees with `torch.utils.flop_counter` on eager attention, which computes the scores of future positions too.
    """
    model = _meta_model(config)
    vision, text = config.vision_config, config.text_config
    patches = (vision.image_size // vision.patch_size) ** 2
    rows = patches + int("siglip" not in vision.model_type)
    head_rows = 1 if getattr(model.model.vision_tower, "use_head", False) else 0
    weights = {name: parameter for name, parameter in model.named_parameters() if parameter.dim() >= 2}
    image = 0
    for name, weight in weights.items():
        if name.startswith("model.vision_tower.") and "position" not in name and ".head." not in name:
            image += 2 * weight.numel() * (patches if "patch_embedding" in name else rows)
        elif name.startswith("model.multi_modal_projector."):
            image += 2 * weight.numel() * (rows - 1)
    image += vision.num_hidden_layers * 4 * rows**2 * vision.hidden_size
    if head_rows:
        image += _pooling_head_flops(weights, rows, vision.hidden_size)
    per_token = sum(
        2 * weight.numel() * (config.moe.top_k / len(weight) if ".experts." in name else 1)
        for name, weight in weights.items()
        if name.startswith("model.language_model.layers.") and not (".experts." in name and name.endswith("_bias"))
    )
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    scores = 4 * text.num_hidden_layers * text.num_attention_heads * head_dim
    head = (
        2 * weights["lm_head.weight"].numel() if "lm_head.weight" in weights else 2 * text.vocab_size * text.hidden_size
    )
    tokens = rows - 1 + text_tokens
    return Flops(
        tokens=tokens,
        image=int(image),
        prefill=int(tokens * per_token + scores * tokens**2 + head),
        decode=int(per_token + scores * (tokens + 1) + head),
    )


def _pooling_head_flops(weights: dict, rows: int, width: int) -> int:
    """SigLIP's pooling head, which runs although its output is not used: one query attends to all rows."""
    flops = 4 * rows * width
    for name, weight in weights.items():
        if ".head." in name and not name.endswith("probe"):
            if name.endswith("in_proj_weight"):
                flops += 2 * (weight.numel() // 3) * (1 + 2 * rows)
            else:
                flops += 2 * weight.numel()
    return flops
