"""A router that cannot choose some of its experts, whatever it is like.

All routers of transformers score experts by a linear layer and choose with `topk`, most with a softmax or sigmoid, groups
or a bias in between. Where both see minus infinity, the router does all else as it always does.
"""

from collections.abc import Callable, Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

__all__ = ["mask_experts"]


def mask_experts(router: nn.Module, num_experts: int, removed: Collection[int]) -> list[Any]:
    """Let a router choose among the other experts from now on; returns the handles whose `remove()` ends it.

    The logits of the removed ones are minus infinity, and so are their scores when the best are looked for (a bias for
    choosing, as GLM-4.5V and Ernie-4.5-VL have it, comes after the sigmoid or softmax). Only where fewer are left than a
    token uses are they chosen all the same.
    """
    mode = _Masked(num_experts, removed)

    def before(module: nn.Module, args: tuple) -> None:
        mode.__enter__()

    def after(module: nn.Module, args: tuple, output: Any) -> None:
        mode.__exit__(None, None, None)

    return [router.register_forward_pre_hook(before), router.register_forward_hook(after, always_call=True)]


class _Masked(TorchFunctionMode):
    """Inside, linear layers give, and `topk` sees, minus infinity in the removed ones of `num_experts` columns."""

    def __init__(self, num_experts: int, removed: Collection[int]):
        super().__init__()
        self._columns = torch.zeros(num_experts, dtype=torch.bool)
        self._columns[list(removed)] = True

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (torch.topk, torch.Tensor.topk):
            args = (self._mask(args[0]), *args[1:])
        output = func(*args, **(kwargs or {}))
        return self._mask(output) if func is F.linear else output

    def _mask(self, scores: torch.Tensor) -> torch.Tensor:
        if scores.shape[-1] != len(self._columns):
            return scores
        return scores.masked_fill(self._columns.to(scores.device), float("-inf"))
