"""The published sizes are the configurations' defaults: counts from the weight index and by hand (spec/peer_models.md)."""

import torch
from transformers import AutoModelForImageTextToText, PreTrainedConfig

from moellava.peers import QwenVLConfig, TinyGPTVConfig
from moellava.peers.qwen_vl.configuration import QwenVLTextConfig


def parameters(config: PreTrainedConfig) -> int:
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config).num_parameters()


def test_qwen_vl_has_the_parameters_of_the_published_index():
    assert parameters(QwenVLConfig()) == 9_656_935_168
    assert QwenVLTextConfig().vocab_size == 151_936


def test_tinygpt_v_has_the_published_parameters_with_lora_merged():
    lora, key_biases_of_the_tower = 31_457_280, 39 * 1408  # the original has no parameter for the latter
    assert parameters(TinyGPTVConfig()) == 3_917_012_352 - lora + key_biases_of_the_tower
