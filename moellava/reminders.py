"""One line where a quantisation or an adapter passes over the experts, which hold most of a sparse model's weights.

Both go by the names of linear layers. Experts are stacked in tensors of three dimensions, and meant only if named.
"""

import logging
from typing import Any

from torch import nn

__all__ = ["RemindsOfExperts"]

logger = logging.getLogger(__name__)


class RemindsOfExperts:
    """To be named before transformers' model class: its `from_pretrained` and `add_adapter` warn of experts left out."""

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As transformers' (the model, and with `output_loading_info` a report)."""
        loaded = super().from_pretrained(*args, **kwargs)  # type: ignore[misc]
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        weights = _expert_weights(model)
        if getattr(model, "is_quantized", False) and weights and all(map(_has_full_precision, weights)):
            share = sum(weight.numel() for weight in weights) / model.num_parameters()
            _warn(f"this quantisation names no expert: {share:.0%} of the weights stay in full precision")
        return loaded

    def add_adapter(self, *args: Any, **kwargs: Any) -> None:
        """As transformers' (PEFT)."""
        super().add_adapter(*args, **kwargs)  # type: ignore[misc]
        trained = [name for name, parameter in self.named_parameters() if parameter.requires_grad]  # type: ignore[attr-defined]
        if _expert_weights(self) and not any(".mlp.experts." in name for name in trained):
            _warn("this adapter names no expert, and adapts none")


def _expert_weights(model: Any) -> list[nn.Parameter]:
    return [weight for name, weight in model.named_parameters() if ".mlp.experts." in name and weight.dim() == 3]


def _has_full_precision(weight: nn.Parameter) -> bool:
    return type(weight) is nn.Parameter and weight.is_floating_point() and weight.element_size() > 1


def _warn(what: str) -> None:
    logger.warning("%s; docs/transformers.md says how to name them", what)
