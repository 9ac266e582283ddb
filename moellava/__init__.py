"""MoE-LLaVA (arXiv 2401.15947) on today's transformers. Importing it registers the model with the Auto classes."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
)

from moellava.configuration import MoEConfig, MoELlavaConfig
from moellava.modeling import MoELlavaForConditionalGeneration, MoELlavaModel, enable_router_noise
from moellava.moe import SparseMoeBlock
from moellava.processing import MoELlavaProcessor
from moellava.sparsify import sparsify

__all__ = [
    "MoEConfig",
    "MoELlavaConfig",
    "MoELlavaForConditionalGeneration",
    "MoELlavaModel",
    "MoELlavaProcessor",
    "SparseMoeBlock",
    "enable_router_noise",
    "sparsify",
]

AutoConfig.register("moe_llava", MoELlavaConfig)
AutoModel.register(MoELlavaConfig, MoELlavaModel)
AutoModelForImageTextToText.register(MoELlavaConfig, MoELlavaForConditionalGeneration)
AutoModelForMultimodalLM.register(MoELlavaConfig, MoELlavaForConditionalGeneration)
AutoProcessor.register(MoELlavaConfig, MoELlavaProcessor)
