"""How many parameters a model has and activates, and what a token costs, from its configuration alone.

Nothing is allocated: the model is laid out on the meta device.
"""

from collections import Counter
from dataclasses import dataclass

import torch
from transformers.initialization import no_init_weights

from moellava.configuration import MoELlavaConfig
from moellava.modeling import MoELlavaForConditionalGeneration

__all__ = ["Flops", "ParameterCount", "count_parameters", "forward_flops", "parameter_shapes", "part_of"]

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
    """Parameters by part, and how many of the experts' one token does not use (`idle_vision`: of a sparse vision tower's).

    `llm_*` leave vision tower and projector out, as MoE-LLaVA's paper counts; embeddings and head are counted in full.
    """

    parts: dict[str, int]
    idle: int
    idle_vision: int = 0

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    @property
    def activated(self) -> int:
        return self.total - self.idle - self.idle_vision

    @property
    def llm_total(self) -> int:
        return self.total - sum(self.parts.get(part, 0) for part in VISION)

    @property
    def llm_activated(self) -> int:
        return self.llm_total - self.idle


Shapes = dict[str, torch.Size]


def part_of(name: str) -> str:
    """The part of the model that a parameter of that name belongs to."""
    return next(part for fragment, part in PARTS if fragment in name)


def parameter_shapes(config: MoELlavaConfig) -> Shapes:
    """Names and shapes of all parameters, tied ones once, from the meta device."""
    with torch.device("meta"), no_init_weights():
        model = MoELlavaForConditionalGeneration(config)
    return {name: parameter.shape for name, parameter in model.named_parameters()}


def count_parameters(config: MoELlavaConfig, shapes: Shapes | None = None) -> ParameterCount:
    """Parameters of a model; `shapes` saves laying it out again.

    Source of the convention: spec/checkpoints.md section 7 ("activated" is everything but the num_experts - top_k idle
    experts of each sparse layer).
    """
    parts: Counter[str] = Counter()
    idle = 0
    for name, shape in (shapes or parameter_shapes(config)).items():
        parts[part_of(name)] += shape.numel()
        if ".mlp.experts." in name:
            idle += shape.numel() // shape[0] * (shape[0] - config.moe.top_k)
    return ParameterCount(dict(parts), idle)


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of one forward pass, matrix products only, a multiply-add counted as two.

    `image`: tower and projector for one picture. `prefill`: the language model over `tokens` tokens, picture rows
    included, and the head for the last one. `decode`: one further token after them.
    """

    tokens: int
    image: int
    prefill: int
    decode: int

    @property
    def per_token(self) -> float:
        """Everything up to the first answer token, per image and text token."""
        return (self.image + self.prefill) / self.tokens


def forward_flops(config: MoELlavaConfig, text_tokens: int = 64, shapes: Shapes | None = None) -> Flops:
    """Cost of a prompt with one picture and `text_tokens` text tokens; `shapes` as in `count_parameters`.

    Each token passes `top_k` experts. Attention is counted in full, not only its causal half, as torch's FLOP counter
    does, which gives the same numbers (`tests/moellava/test_accounting.py`) but takes seconds for the larger models.
    """
    vision, text = config.vision_config, config.get_text_config()
    patches = (vision.image_size // vision.patch_size) ** 2
    rows = patches + int("siglip" not in vision.model_type)
    tokens = rows - 1 + text_tokens
    image = vision.num_hidden_layers * 4 * rows**2 * vision.hidden_size  # attention scores and their application
    per_token = 0.0
    for name, shape in (shapes or parameter_shapes(config)).items():
        if len(shape) < 2 or "embed_tokens" in name or "position_embedding" in name or name.endswith("_bias"):
            continue
        if ".vision_tower.head." in name:  # SigLIP's pooling: one query over all rows; runs although it is not used
            share = {"probe": 0, "in_proj_weight": (1 + 2 * rows) / 3}.get(
                name.rpartition("head.")[2].split(".")[-1], 1
            )
            image += 2 * shape.numel() * share + (4 * rows * vision.hidden_size if not share else 0)
        elif ".vision_tower." in name:
            image += 2 * shape.numel() * (patches if "patch_embedding" in name else rows)
        elif ".multi_modal_projector." in name:
            image += 2 * shape.numel() * (rows - 1)
        elif name != "lm_head.weight":
            per_token += 2 * shape.numel() * (config.moe.top_k / shape[0] if ".experts." in name else 1)
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    scores = 4 * text.num_hidden_layers * text.num_attention_heads * head_dim
    head = 2 * text.vocab_size * text.hidden_size
    prefill = tokens * per_token + scores * tokens**2 + head
    return Flops(tokens, round(image), round(prefill), round(per_token + scores * (tokens + 1) + head))
