"""Floating-point operations of a training step: what the mathematics needs, not what recomputation adds (for MFU)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moellava.accounting import Shapes
from moellava.configuration import MoELlavaConfig
from moellava.training.stages import is_trained

__all__ = ["FlopRate", "training_flops"]


@dataclass(frozen=True)
class FlopRate:
    """FLOPs per token, per picture, and per pair of tokens of one sequence (attention, counted in full)."""

    per_token: float
    per_picture: float
    per_pair: float

    def of(self, batch: Mapping[str, Any]) -> float:
        """Of one forward and backward pass over a batch of `Collator`; padding is not counted."""
        lengths = batch["attention_mask"].sum(dim=-1).double()
        pairs = batch["segments"]["pairs"] if "segments" in batch else float((lengths**2).sum())
        pictures = len(batch["pixel_values"]) if "pixel_values" in batch else 0
        return self.per_token * float(lengths.sum()) + self.per_picture * pictures + self.per_pair * pairs


def training_flops(config: MoELlavaConfig, shapes: Shapes, trains: str) -> FlopRate:
    """A multiply-add counts as two. A matrix costs one product forward, one for the gradient of its input, and one for
    its own where it is trained; each token passes top_k experts. The language model's inputs always need gradients
    (the projector or the embeddings are trained below it, except for "moe-as-paper", where it is nearly so); the tower
    runs forward only unless it is trained."""
    vision, text = config.vision_config, config.get_text_config()
    rows = (vision.image_size // vision.patch_size) ** 2 + int("siglip" not in vision.model_type)
    tower_factor = 3 if trains == "all" else 1
    per_token = per_picture = 0.0
    for name, shape in shapes.items():
        if len(shape) < 2 or name.endswith("bias") or "embed_tokens" in name or "embedding" in name:
            continue
        if ".vision_tower." in name:
            per_picture += tower_factor * 2 * shape.numel() * rows
        elif ".multi_modal_projector." in name:
            per_picture += (2 + is_trained(name, trains)) * 2 * shape.numel() * rows
        else:
            share = config.moe.top_k / shape[0] if ".experts." in name else 1
            per_token += (2 + is_trained(name, trains)) * 2 * shape.numel() * share
    if text.tie_word_embeddings:
        per_token += 3 * 2 * text.vocab_size * text.hidden_size
    per_picture += tower_factor * 4 * vision.num_hidden_layers * rows**2 * vision.hidden_size
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    per_pair = 3 * 4 * text.num_hidden_layers * text.num_attention_heads * head_dim
    return FlopRate(per_token, per_picture, per_pair)
