"""Which parameters of ours an upstream parameter is, by the converter's own map."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch

from moellava import MoELlavaForConditionalGeneration
from moellava.convert.families import Origin, family_of
from moellava.convert.plan import make_plan
from moellava.convert.source import open_weights, read_config, weight_files
from moellava.convert.tower import find_tower

__all__ = ["upstream_gradients", "upstream_names"]

Map = Mapping[str, list[tuple[str, Origin]]]


def upstream_names(checkpoint: Path, model: MoELlavaForConditionalGeneration) -> Map:
    """Upstream's name -> the (parts of) parameters of the converted model that it is."""
    config = read_config(checkpoint)
    names = [name for path in weight_files(checkpoint) for name in open_weights(path)[0]]
    tower = find_tower(checkpoint, config, names)
    return make_plan(model.config, family_of(config, checkpoint), names, tower.prefix)[0]


def upstream_gradients(
    known: Map, model: MoELlavaForConditionalGeneration, names: Iterable[str]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Gradients of upstream's parameters out of ours, which stack experts and take fused matrices apart."""
    ours = {name: parameter.grad for name, parameter in model.named_parameters()}
    for name in names:
        parts = sorted(known[name], key=lambda part: _start(part[1]))
        yield name, torch.cat([ours[target][origin.target_index] for target, origin in parts])


def _start(origin: Origin) -> int:
    first = origin.source_index[0]
    return first.start if isinstance(first, slice) else 0
