"""Experts taken away from a sparse model while it answers, to see what they are worth.

A router chooses among the experts that are left, as if it had never had the others (`moellava.router_mask`): so experts are
pruned in the literature, for example arXiv 2402.14800. Choices beyond `top_k` get the weight 0, and what is left of a token's
choices takes it. No weight of a model is changed, whatever its architecture.
"""

import inspect
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import nn

from moellava.router_mask import mask_experts
from moellava.sparse_layers import SparseLayer, sparse_layers

__all__ = ["prune", "pruned_weights"]


def prune(language_model: nn.Module, experts: Collection[tuple[int, int]] = (), top_k: int | None = None) -> list[Any]:
    """Take experts away from now on; returns the handles whose `remove()` ends it.

    Args:
        language_model: the decoder, whose `experts` modules are found by `sparse_layers`.
        experts: (layer, expert) pairs that are taken away, both from 0. Where a layer has a second set of experts for
            pictures (Ernie-4.5-VL), it is numbered on from the first.
        top_k: experts per token that stay, those with the largest weights; None: all.

    Raises:
        ValueError: for a dense model, a layer or an expert that there is not, a `top_k` that takes nothing away, or that
            is to hold for experts which are not told what was chosen (Llama-4's).
    """
    layers = sparse_layers(language_model)
    if not layers:
        raise ValueError("it has no sparse layer")
    _check(layers, experts, top_k)
    handles = []
    for layer in layers:
        own = {number for index, number in experts if index == layer.index and number in layer.numbers}
        removed = [number - layer.first for number in sorted(own)]
        if removed and layer.router is not None:
            handles += mask_experts(layer.router, layer.num_experts, removed)
        if layer.are_told and (removed or top_k is not None):
            handles.append(_weighted(layer, removed, top_k))
    return handles


def pruned_weights(
    top_k_index: torch.Tensor, top_k_weights: torch.Tensor, removed: Collection[int], top_k: int | None
) -> torch.Tensor:
    """The weights [T, K] of a layer's choices when some do not count.

    A token's weights have the sum that they had, but where none of its experts is left: then all are 0, and the token goes
    on with what the layers around the experts make of it.

    Args:
        top_k_index: [T, K] int64, the experts that were chosen.
        top_k_weights: [T, K], their weights.
        removed: experts that are taken away; chosen all the same where fewer are left than a token uses.
        top_k: how many of the others stay at most, those with the largest weights; None: all.
    """
    gone = torch.isin(top_k_index, torch.tensor(sorted(removed), dtype=top_k_index.dtype, device=top_k_index.device))
    kept = top_k_weights.masked_fill(gone, 0)
    if top_k is not None:
        best = kept.topk(min(top_k, kept.shape[-1]), dim=-1).indices
        kept = torch.zeros_like(kept).scatter(-1, best, kept.gather(-1, best))
    left = kept.sum(dim=-1, keepdim=True)
    total = top_k_weights.sum(dim=-1, keepdim=True)
    return torch.where(left > 0, kept * (total / left.clamp(min=torch.finfo(left.dtype).tiny)), kept)


def _weighted(layer: SparseLayer, removed: Collection[int], top_k: int | None) -> Any:
    signature = inspect.signature(layer.experts.forward)

    def before(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        hidden_states, index, weights = signature.bind(*args, **kwargs).args
        return (hidden_states, index, pruned_weights(index, weights, removed, top_k)), {}

    return layer.experts.register_forward_pre_hook(before, with_kwargs=True)


def _check(layers: Sequence[SparseLayer], experts: Collection[tuple[int, int]], top_k: int | None) -> None:
    num_experts = {layer.index: layer.numbers.stop for layer in layers}
    for place, expert in experts:
        if place not in num_experts:
            raise ValueError(f"layer {place} is not sparse; sparse are {', '.join(map(str, num_experts))}")
        if not 0 <= expert < num_experts[place]:
            raise ValueError(f"layer {place} has experts 0 to {num_experts[place] - 1}, and no {expert}")
    most = max(layer.top_k for layer in layers)
    if top_k is not None and not 0 < top_k < most:
        raise ValueError(f"a token uses {most} experts; top_k={top_k} takes none of them away")
    for layer in layers:
        if not layer.are_told and (top_k is not None or layer.router is None):
            raise ValueError(f"{layer.name} is not told which experts were chosen")
