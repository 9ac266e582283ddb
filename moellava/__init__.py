"""MoE-LLaVA (arXiv 2401.15947) on today's transformers. Importing it registers the model with the Auto classes."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
    MODEL_MAPPING_NAMES,
)

import moellava.peers  # noqa: F401  (registers the compared systems)
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
AutoProcessor.register(MoELlavaConfig, MoELlavaProcessor)
for auto_class, model_class in (
    (AutoModel, MoELlavaModel),
    (AutoModelForImageTextToText, MoELlavaForConditionalGeneration),
    (AutoModelForMultimodalLM, MoELlavaForConditionalGeneration),
):
    auto_class.register(MoELlavaConfig, model_class)
# transformers' server and its test suite look a class up by its name, in tables that `register` does not write.
for names, model_class in (
    (MODEL_MAPPING_NAMES, MoELlavaModel),
    (MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES, MoELlavaForConditionalGeneration),
    (MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES, MoELlavaForConditionalGeneration),
):
    names["moe_llava"] = model_class.__name__
