"""A sparse model with some of its experts switched off: their tokens go to the next best ones."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from moellava.moe import SparseMoeBlock, TopKRouter
from moellava.sparse_layers import sparse_layers

__all__ = ["experts_off"]


@contextmanager
def experts_off(model: Any, off: Collection[tuple[int, int]]) -> Iterator[None]:
    """Inside, routers of the model do as if these experts were not there: the others share their probability.

    Args:
        model: a sparse one of ours; others have routers of their own.
        off: (index of the layer in the decoder, expert), from 0.

    Raises:
        ValueError: for an expert that does not exist, a model whose routers are not ours, and where a layer would keep fewer
            experts than a token uses.
    """
    layers = {layer.index: layer for layer in sparse_layers(model.get_decoder())}
    by_layer: dict[int, list[int]] = {}
    routers: dict[int, TopKRouter] = {}
    for index, expert in sorted(set(off)):
        layer = layers.get(index)
        if layer is None or not 0 <= expert < layer.num_experts:
            raise ValueError(f"there is no expert {expert} in layer {index}; sparse layers are {sorted(layers)}")
        if not isinstance(layer.block, SparseMoeBlock):
            raise ValueError(f"layer {index} has a router that is not ours, whose experts cannot be switched off")
        by_layer.setdefault(index, []).append(expert)
        routers[index] = layer.block.router
    for index, experts in by_layer.items():
        if layers[index].num_experts - len(experts) < layers[index].top_k:
            raise ValueError(f"layer {index} would keep fewer experts than the {layers[index].top_k} that a token uses")
    try:
        for index, router in routers.items():
            router.switched_off = by_layer[index]
        yield
    finally:
        for router in routers.values():
            router.switched_off = []
