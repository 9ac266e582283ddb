"""Parameters and cost of any image-text-to-text model of transformers, from its configuration alone.

The model is laid out on the meta device: nothing is allocated. `moellava.accounting` knows more about MoE-LLaVA (the
cost of a picture, what each stage trains).
"""

import re
from collections import Counter
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForImageTextToText, PreTrainedConfig
from transformers.initialization import no_init_weights

from moellava.accounting import ParameterCount
from moellava.sparse_layers import SparseLayer, sparse_layers

__all__ = ["count_model", "lay_out", "weight_flops"]

LANGUAGE_PARTS = (
    (r"(^|\.)norm|norm(_\w+|\d*)\.|layernorm", "norms"),
    (r"\.experts\.", "experts"),
    (r"shared_expert", "shared experts"),
    (r"\.(router|gate)\.", "router"),
    (r"attn|attention|mixer|ssm", "attention"),
    (r"mlp|feed_forward|ffn|\.fc\d", "dense FFN"),
)
PROJECTOR = re.compile(
    r"projector|projection|merger|connector|aligner|multi_modal|mm_|embed_vision|vision_embedder|resampler"
)


def lay_out(config: PreTrainedConfig) -> Any:
    """The model of a configuration on the meta device."""
    with torch.device("meta"), no_init_weights():
        model: Any = AutoModelForImageTextToText.from_config(config)
        model.tie_weights()  # skipped where weights are not initialised
    return model


def count_model(model: Any, top_k: int | None = None) -> ParameterCount:
    """Parameters of a model by part, and how many of its experts' a text token does not use; shared ones count once.

    `vision tower` is all that is neither language model, head nor projector, other senses included.

    Args:
        top_k: experts that a token uses at most; None: as many as the model says.

    Raises:
        ValueError: sparse layers that do not say how many experts a token uses.
    """
    decoder, head = _language_model(model)
    inside = {id(parameter) for module in (decoder, head) if module is not None for parameter in module.parameters()}
    tables = {id(module.weight) for module in decoder.modules() if isinstance(module, nn.Embedding)}
    heads = {id(parameter) for parameter in head.parameters()} if head is not None else set()
    parts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        if id(parameter) not in inside:
            outside_layers = re.split(r"\.\d+\.", name)[0]
            part = "projector" if PROJECTOR.search(outside_layers) else "vision tower"
        elif id(parameter) in tables:
            part = "embedding"
        elif id(parameter) in heads:
            part = "head"
        else:
            part = next((part for pattern, part in LANGUAGE_PARTS if re.search(pattern, name)), "other")
        parts[part] += parameter.numel()
    idle = sum(_idle(layer, top_k) for layer in sparse_layers(decoder))
    return ParameterCount(dict(parts), idle, sum(_idle(layer, top_k) for layer in sparse_layers(model)) - idle)


def weight_flops(model: Any) -> int:
    """Floating-point operations of one further text token in the language model and its head, a multiply-add counted as two.

    Products with weights only: what attention between tokens costs depends on how many there are and on the kind of layer.
    """
    decoder, head = _language_model(model)
    layers = {layer.name: layer for layer in sparse_layers(decoder)}
    multiplied = 0
    for name, module in decoder.named_modules():
        if module is head or isinstance(module, nn.Embedding):
            continue
        own = sum(p.numel() for key, p in module.named_parameters(recurse=False) if p.dim() > 1 and "bias" not in key)
        layer = layers.get(name)
        if layer is not None:
            own -= _idle(layer)
        multiplied += own
    multiplied += head.weight.numel() if head is not None else 0
    return 2 * multiplied


def _language_model(model: Any) -> tuple[nn.Module, Any]:
    """The decoder and the head (None: it has none), which a few models have inside it."""
    decoder = model.get_decoder()
    return decoder, model.get_output_embeddings() or decoder.get_output_embeddings()


def _idle(layer: SparseLayer, top_k: int | None = None) -> int:
    """Parameters of a layer's experts that a text token does not use."""
    used = 0 if layer.is_for_vision else min(layer.top_k, top_k or layer.top_k)
    stacked = sum(p.numel() for p in layer.experts.parameters(recurse=False) if p.dim() > 1)
    return stacked // layer.num_experts * (layer.num_experts - used)
