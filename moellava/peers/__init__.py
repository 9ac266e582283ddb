"""The systems that the paper compares with and transformers does not have; importing it registers them with the Auto classes.

They are converted by `moellava convert`, as MoE-LLaVA's own checkpoints are.
"""

from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoModelForMultimodalLM, AutoProcessor

from moellava.peers.processing import FixedRowsProcessor
from moellava.peers.qwen_vl.configuration import QwenVLConfig, QwenVLTextConfig, QwenVLVisionConfig
from moellava.peers.qwen_vl.modeling import QwenVLForConditionalGeneration, QwenVLModel
from moellava.peers.qwen_vl.text import QwenVLTextModel
from moellava.peers.qwen_vl.vision import QwenVLVisionModel
from moellava.peers.tinygpt_v.configuration import TinyGPTVConfig, TinyGPTVTextConfig
from moellava.peers.tinygpt_v.modeling import TinyGPTVForConditionalGeneration, TinyGPTVModel, TinyGPTVTextModel

__all__ = [
    "FixedRowsProcessor",
    "QwenVLConfig",
    "QwenVLForConditionalGeneration",
    "QwenVLModel",
    "TinyGPTVConfig",
    "TinyGPTVForConditionalGeneration",
    "TinyGPTVModel",
]

for config_class, model_class in (
    (QwenVLVisionConfig, QwenVLVisionModel),
    (QwenVLTextConfig, QwenVLTextModel),
    (QwenVLConfig, QwenVLModel),
    (TinyGPTVTextConfig, TinyGPTVTextModel),
    (TinyGPTVConfig, TinyGPTVModel),
):
    AutoConfig.register(config_class.model_type, config_class)
    AutoModel.register(config_class, model_class)
for config_class, generating_class in (
    (QwenVLConfig, QwenVLForConditionalGeneration),
    (TinyGPTVConfig, TinyGPTVForConditionalGeneration),
):
    AutoProcessor.register(config_class, FixedRowsProcessor)
    AutoModelForImageTextToText.register(config_class, generating_class)
    AutoModelForMultimodalLM.register(config_class, generating_class)
