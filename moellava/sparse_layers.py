"""The sparse feed-forward layers of any model of transformers: where they are, how many experts, how many a token uses.

transformers stacks a layer's experts in tensors whose first axis is the expert's, in a module called `experts`, and its
experts interface hands that module the choices. Nothing else about a model has to be known.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

__all__ = ["SparseLayer", "expert_modules", "sparse_layers", "watch"]

TOP_K = ("top_k", "num_experts_per_tok", "top_k_experts")
"""Attributes of routers, blocks and configurations that say how many experts a token uses."""
ROUTERS = ("router", "gate")
"""What a block calls the module that scores its experts."""
VISION_EXPERTS = ".vision_moe."
"""Ernie-4.5-VL has a set of experts for a picture's tokens beside the one for text in each layer, each with its router."""


@dataclass(frozen=True)
class SparseLayer:
    """The experts of one layer, or one of its two sets of experts.

    Args:
        name: of the module that holds them.
        index: of the layer, from 0.
        num_experts, top_k: experts that there are, and that a token uses.
        experts: the module; its parameters of three dimensions are [num_experts, ...].
        block: the module around it.
        first: the number of its first expert in the layer; 0 but in a layer's second set, which is numbered on.
    """

    name: str
    index: int
    num_experts: int
    top_k: int
    experts: nn.Module
    block: nn.Module
    first: int = 0

    @property
    def numbers(self) -> range:
        """The numbers of its experts in the layer."""
        return range(self.first, self.first + self.num_experts)

    @property
    def router(self) -> nn.Module | None:
        """The module that scores the experts."""
        return next((module for name, module in self.block.named_children() if name in ROUTERS), None)

    @property
    def are_told(self) -> bool:
        """Whether the experts are handed the choices and their weights; Llama-4's are handed weighted inputs instead."""
        return len(inspect.signature(self.experts.forward).parameters) > 2

    @property
    def is_for_vision(self) -> bool:
        """Whether its experts see a picture's tokens only."""
        return VISION_EXPERTS in f".{self.name}."


def sparse_layers(language_model: nn.Module) -> list[SparseLayer]:
    """The sparse layers of a language model, in the order of their indices; none for a dense one.

    Raises:
        ValueError: experts in a module that does not say how many of them a token uses.
    """
    found = [_layer(language_model, name, module) for name, module in expert_modules(language_model)]
    layers: list[SparseLayer] = []
    for layer in sorted(found, key=lambda layer: layer.index):
        before = sum(other.num_experts for other in layers if other.index == layer.index)
        layers.append(replace(layer, first=before))
    return layers


def expert_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules that hold stacked experts, by name; shared experts, which all tokens use, are none of them."""
    for name, module in model.named_modules():
        if name.rpartition(".")[2] == "experts" and any(p.dim() == 3 for p in module.parameters(recurse=False)):
            yield name, module


def watch(layer: SparseLayer, see: Callable[[torch.Tensor, torch.Tensor], None]) -> Any:
    """Call `see` with the choices [T, K] int64, from 0, and their weights [T, K] of every forward pass of a layer.

    Where the experts are not told, the router is asked. Returns the handle that ends it.
    """
    if layer.are_told:
        signature = inspect.signature(layer.experts.forward)

        def before(module: nn.Module, args: tuple, kwargs: dict) -> None:
            _, index, weights = signature.bind(*args, **kwargs).args
            see(index.reshape(-1, index.shape[-1]), weights.reshape(-1, index.shape[-1]))

        return layer.experts.register_forward_pre_hook(before, with_kwargs=True)

    def after(module: nn.Module, args: tuple, output: tuple) -> None:
        weights, index = output[0].topk(layer.top_k, dim=-1)  # of scores [T, E]
        see(index, weights)

    if layer.router is None:
        raise ValueError(f"{layer.name} is not told which experts were chosen, and no router beside it could be asked")
    return layer.router.register_forward_hook(after)


def _layer(model: nn.Module, name: str, experts: nn.Module) -> SparseLayer:
    block = model.get_submodule(name.rpartition(".")[0])
    num_experts = next(parameter.shape[0] for parameter in experts.parameters(recurse=False) if parameter.dim() == 3)
    index = re.search(r"\.(\d+)\.", f".{name}")
    return SparseLayer(name, int(index[1]) if index else 0, num_experts, _top_k(name, block), experts, block)


def _top_k(name: str, block: nn.Module) -> int:
    near = [block, *block.children()]
    for place in [*near, *(module.config for module in near if hasattr(module, "config"))]:
        for attribute in TOP_K:
            value = getattr(place, attribute, None)
            if isinstance(value, int):
                return value
    raise ValueError(f"{name}: nothing says how many of these experts a token uses ({', '.join(TOP_K)})")
