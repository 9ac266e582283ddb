"""Stage 3's starting point: a dense model becomes a sparse one by copying its feed-forward layers into experts."""

import torch
from torch import nn

from moellava.configuration import MoEConfig, MoELlavaConfig
from moellava.modeling import MoELlavaForConditionalGeneration
from moellava.moe import FeedForward, SparseMoeBlock

__all__ = ["sparsify"]


@torch.no_grad()
def sparsify(
    dense_model: MoELlavaForConditionalGeneration, moe: MoEConfig, generator: torch.Generator | None = None
) -> MoELlavaForConditionalGeneration:
    """Replace the feed-forward layers `moe.layers` of a dense model by mixtures of copies of them, in place.

    Every expert starts as the dense layer; routers start from U(-1/sqrt(H), 1/sqrt(H)) in float32. Since the weights of
    a token's experts sum to 1, the sparse model equals the dense one until it is trained (for `top_k` of 2 or more).

    Args:
        dense_model: a model whose `config.moe.layers` is empty.
        moe: the sparse layers, experts and top_k.
        generator: seeds the routers (None: torch's global generator).

    Returns:
        The same object, now sparse.

    Raises:
        ValueError: the model is sparse already, or `moe` names a layer that it does not have.

    Source: arXiv 2401.15947 section 3.2; MoE-LLaVA `initialize_moe_modules`; spec/training.md section 4.
    """
    if dense_model.config.moe.layers:
        raise ValueError(f"the model is sparse already: moe.layers is {dense_model.config.moe.layers}")
    config = MoELlavaConfig(**{**dense_model.config.to_dict(), "moe": moe.to_dict()})
    dense_model.config.moe = config.moe
    layers = dense_model.model.language_model.layers
    for index, num_experts in config.moe.experts_per_layer().items():
        mlp = layers[index].mlp
        block = SparseMoeBlock(dense_model.config, num_experts, mlp)
        block.router.to(device=next(mlp.parameters()).device)
        bound = block.router.weight.shape[-1] ** -0.5
        block.router.weight.uniform_(-bound, bound, generator=generator)
        _copy_into_every_expert(mlp, block)
        layers[index].mlp = block.train(mlp.training)
    return dense_model


def _copy_into_every_expert(mlp: nn.Module, block: SparseMoeBlock) -> None:
    layout = FeedForward.of(mlp)
    up_names = [layout.gate, layout.up] if layout.gate else [layout.up]
    up_target = "gate_up_proj" if layout.gate else "up_proj"
    for target, names in ((up_target, up_names), ("down_proj", [layout.down])):
        getattr(block.experts, target).copy_(torch.cat([getattr(mlp, name).weight for name in names]))
        if block.experts.has_bias:
            getattr(block.experts, f"{target}_bias").copy_(torch.cat([getattr(mlp, name).bias for name in names]))
