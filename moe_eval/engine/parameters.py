"""How many parameters a model has and activates, ours or not, from its configuration alone."""

from typing import Any

from moe_eval.engine.backend import Parameters

__all__ = ["count_parameters"]


def count_parameters(config: Any) -> Parameters:
    """Counts for a configuration of `moellava` or of any other image-text-to-text model.

    What another sparse model activates is its own business and left open.
    """
    import torch
    from transformers import AutoModelForImageTextToText

    from moellava import MoELlavaConfig, accounting

    if isinstance(config, MoELlavaConfig):
        ours = accounting.count_parameters(config)
        return Parameters(ours.total, ours.activated, ours.llm_total, ours.llm_activated)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    total = _count(model)
    llm = _count(model.get_decoder(), model.get_output_embeddings())
    dense = not any("expert" in name for name, _ in model.named_parameters())
    return Parameters(total, total if dense else None, llm, llm if dense else None)


def _count(*modules: Any) -> int:
    """Parameters of the modules together, shared ones once."""
    unique = {id(parameter): parameter.numel() for module in modules for parameter in module.parameters()}
    return sum(unique.values())
