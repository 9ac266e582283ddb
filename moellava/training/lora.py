"""Low-rank adapters (PEFT) for stages 2 and 3: what a stage would train in full is adapted instead."""

import warnings
from typing import Any

import torch
from torch import nn

from moellava.modeling import MoELlavaForConditionalGeneration
from moellava.training.errors import TrainingError
from moellava.training.recipe import Recipe
from moellava.training.stages import is_trained

__all__ = ["add_adapters", "merged"]

IN_FULL = ["multi_modal_projector", "router"]  # small, and new in stage 2 or 3


def add_adapters(model: MoELlavaForConditionalGeneration, recipe: Recipe) -> nn.Module:
    """The model with adapters beside the matrices that the stage trains, the experts' 3-D tensors included; all else is
    frozen but the projector and the routers. Embeddings and head are not adapted, as in LLaVA.

    Source of the defaults: LLaVA c121f043, scripts/v1_5/finetune_lora.sh.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise TrainingError("lora: PEFT is not installed; pip install 'moe-llava-eval[train]'") from None
    assert recipe.lora is not None
    linears = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and ".language_model." in name and is_trained(f"{name}.weight", recipe.trains)
    ]
    experts = [
        name
        for name, parameter in model.named_parameters()
        if ".mlp.experts." in name and parameter.dim() == 3 and is_trained(name, recipe.trains)
    ]
    in_full = [part for part in IN_FULL if any(part in name for name, _ in model.named_parameters())]
    if recipe.trains == "moe-as-paper":
        in_full.remove("multi_modal_projector")
    torch.manual_seed(recipe.train.seed)
    config = LoraConfig(
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=0.0 if experts else recipe.lora.dropout,  # PEFT has no dropout for adapted tensors
        target_modules=linears,
        target_parameters=experts or None,
        modules_to_save=in_full,
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT asks by a name that transformers has renamed
        return get_peft_model(model, config)


def merged(model: nn.Module) -> nn.Module:
    """The plain model with the adapters added to its weights."""
    merge: Any = getattr(model, "merge_and_unload", None)
    return merge() if merge else model
