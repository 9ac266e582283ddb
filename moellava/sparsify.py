"""Stage 3's starting point: a dense model becomes a sparse one by copying its feed-forward layers into experts."""

import torch

from moellava.configuration import MoEConfig, MoELlavaConfig
from moellava.modeling import MoELlavaForConditionalGeneration
from moellava.moe import SparseMoeBlock, feed_forward_layout
from moellava.parallel import fit_parallel_plans

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
        for name, linears in feed_forward_layout(mlp).items():
            parts = [getattr(mlp, linear) for linear in linears]
            getattr(block.experts, name).copy_(torch.cat([part.weight for part in parts]))
            if block.experts.has_bias:
                getattr(block.experts, f"{name}_bias").copy_(torch.cat([part.bias for part in parts]))
        layers[index].mlp = block.train(mlp.training)
    fit_parallel_plans(dense_model.model.language_model)
    for module in (dense_model.model, dense_model):
        module.init_parallel_plans()
    return dense_model
