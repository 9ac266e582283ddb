"""MoE-LLaVA (arXiv 2401.15947) on today's transformers. Importing it registers the model with the Auto classes."""

from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from moellava.configuration import MoEConfig, MoELlavaConfig
from moellava.modeling import MoELlavaForConditionalGeneration, enable_router_noise
from moellava.moe import SparseMoeBlock
from moellava.processing import MoELlavaProcessor
from moellava.sparsify import sparsify

__all__ = [
    "MoEConfig",
    "MoELlavaConfig",
    "MoELlavaForConditionalGeneration",
    "MoELlavaProcessor",
    "SparseMoeBlock",
    "enable_router_noise",
    "sparsify",
]

AutoConfig.register("moe_llava", MoELlavaConfig)
AutoModelForImageTextToText.register(MoELlavaConfig, MoELlavaForConditionalGeneration)
AutoProcessor.register(MoELlavaConfig, MoELlavaProcessor)
