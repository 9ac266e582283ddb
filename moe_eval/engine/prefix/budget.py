"""How many slots of the key-value cache are computed together."""

from dataclasses import dataclass
from typing import Any

__all__ = ["Budget"]

SHARE = 0.3
"""Of the memory that is free, for cache and activations; the rest is for pictures, logits, and growing answers."""
MOST = {"cpu": 3_072, "cuda": 131_072}
"""More are no faster: on a CPU a few hundred tokens fill the cores, and what a pass over thousands works on leaves their caches. Some rows
should be there together all the same: a step reads all weights, for however many branches."""


@dataclass
class Budget:
    """Changes when memory runs short."""

    slots: int

    @classmethod
    def of(cls, model: Any) -> "Budget":
        """As many as fit into a share of the memory that is free on the model's device."""
        from moe_eval.machine.resources import available_memory, gpu_memory

        free = gpu_memory()[0] if model.device.type == "cuda" else available_memory()
        return cls(max(1, min(MOST.get(model.device.type, MOST["cpu"]), int(SHARE * free / _bytes_per_slot(model)))))

    def halve(self) -> None:
        """Memory ran short."""
        self.slots = max(self.slots // 2, 1)


def _bytes_per_slot(model: Any) -> int:
    """Keys and values of all layers, twice because a cache is copied when it grows, and the activations of one layer."""
    text = model.config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    cache = 2 * 2 * text.num_hidden_layers * heads * width
    return int((cache + 16 * text.hidden_size) * model.dtype.itemsize)
