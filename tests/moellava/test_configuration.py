"""Configurations say what is sparse, survive a round trip, and refuse what no model can have."""

import json

import pytest
from huggingface_hub.errors import StrictDataclassFieldValidationError
from transformers import AutoConfig, LlamaConfig

from moellava import MoEConfig, MoELlavaConfig
from tests.tiny_models import BACKBONES, tiny_config


def test_a_configuration_without_moe_is_dense():
    assert MoELlavaConfig(text_config=LlamaConfig()).moe.layers == []


def test_one_number_of_experts_holds_for_all_layers():
    assert MoEConfig(layers=[0, 2], num_experts=3).experts_per_layer() == {0: 3, 2: 3}


def test_a_list_of_experts_goes_with_the_list_of_layers():
    assert MoEConfig(layers=[2, 0], num_experts=[3, 4]).experts_per_layer() == {2: 3, 0: 4}


def test_moe_may_be_a_dict_of_its_arguments():
    config = MoELlavaConfig(text_config=LlamaConfig(), moe={"layers": [1], "num_experts": 8, "top_k": 1})
    assert isinstance(config.moe, MoEConfig)
    assert (config.moe.experts_per_layer(), config.moe.top_k) == ({1: 8}, 1)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_auto_config_reads_back_what_was_saved(tmp_path, backbone):
    moe = {"num_experts": [3, 4], "top_k": 1, "drop_tokens": True, "capacity_factor": 0.5, "second_choice": "gumbel"}
    config = tiny_config(backbone, "siglip", layers=(1, 3), **moe)
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is MoELlavaConfig
    assert loaded.to_dict() == AutoConfig.from_pretrained(tmp_path).to_dict()
    assert loaded.moe.to_dict() == config.moe.to_dict()
    assert loaded.text_config.to_dict() == config.text_config.to_dict()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": [0, 0]}, "twice"),
        ({"layers": [0, 2], "num_experts": [4]}, "one per layer"),
        ({"layers": [0], "top_k": 5}, "top_k is 5"),
        ({"layers": [0], "top_k": 0}, "top_k is 0"),
        ({"layers": [0, 1], "num_experts": [4, 1]}, "top_k is 2"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MoEConfig(**arguments)


@pytest.mark.parametrize("arguments", [{"second_choice": "random"}, {"top_k": "2"}, {"drop_tokens": "yes"}])
def test_arguments_of_another_kind_are_refused(arguments):
    with pytest.raises(StrictDataclassFieldValidationError):
        MoEConfig(**arguments)


@pytest.mark.parametrize("layer", [4, -1])
def test_a_sparse_layer_that_the_language_model_does_not_have_is_refused(layer):
    with pytest.raises(ValueError, match=rf"names \[{layer}\]"):
        tiny_config(layers=(0, layer))


@pytest.mark.parametrize("key", ["mm_image_tower", "mm_vision_tower"])
def test_a_folder_in_the_upstream_format_says_what_to_run(tmp_path, key):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "moe_llava_phi", key: "openai/clip"}))
    with pytest.raises(ValueError, match=rf"moellava convert {tmp_path} OUT"):
        MoELlavaConfig.from_pretrained(tmp_path)
