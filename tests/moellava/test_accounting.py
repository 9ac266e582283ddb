"""Parameters equal the counted table to the last one; FLOPs equal what torch counts on a real model."""

import json
import time
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from moellava import zoo
from moellava.accounting import count_parameters, forward_flops
from tests.tiny_models import BACKBONES, TOWERS, tiny_config, tiny_inputs, tiny_model

TABLE = json.loads((Path(__file__).parents[1] / "data" / "accounting" / "parameters.json").read_text())


@pytest.mark.parametrize("name", TABLE["models"])
def test_a_named_model_has_the_counted_parameters(name):
    count = count_parameters(zoo.architecture(name))
    assert {key: getattr(count, key) for key in TABLE["models"][name]} == TABLE["models"][name]
    assert sum(count.parts.values()) == count.total
    assert count.parts["vision tower"] == TABLE["vision_towers"][zoo.find(name).tower]
    assert count.parts["projector"] == TABLE["projectors"].get(name, count.parts["projector"])


@pytest.mark.parametrize("name", TABLE["dense_ffn_per_layer"])
def test_half_of_the_layers_are_sparse_and_hold_four_feed_forward_layers_each(name):
    config, layer = zoo.architecture(name), TABLE["dense_ffn_per_layer"][name]
    parts, sparse = count_parameters(config).parts, config.text_config.num_hidden_layers // 2
    assert parts["dense FFN"] == sparse * layer
    assert parts["experts"] == sparse * 4 * layer
    assert parts["router"] == sparse * 4 * config.text_config.hidden_size


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("tower", TOWERS)
def test_parameters_are_counted_once_and_none_is_forgotten(backbone, tower):
    count = count_parameters(tiny_config(backbone, tower, num_experts=[4, 8]))
    assert count.total == sum(
        parameter.numel() for parameter in tiny_model(backbone, tower, num_experts=[4, 8]).parameters()
    )


def test_idle_experts_are_those_beyond_top_k():
    count = count_parameters(tiny_config("llama", num_experts=[4, 8], top_k=3))
    expert = 3 * 32 * 48
    assert count.total - count.activated == count.llm_total - count.llm_activated == (1 + 5) * expert


def test_a_dense_model_activates_all_of_its_parameters():
    count = count_parameters(tiny_config(layers=()))
    assert count.activated == count.total
    assert not {"experts", "router"} & count.parts.keys()


def test_the_largest_model_is_counted_within_seconds():
    start = time.monotonic()
    count_parameters(zoo.architecture("llava-1.5-13b"))
    forward_flops(zoo.architecture("llava-1.5-13b"))
    assert time.monotonic() - start < 5


def counted(run) -> tuple[int, object]:
    with FlopCounterMode(display=False) as counter:
        result = run()
    return counter.get_total_flops(), result


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("tower", TOWERS)
@torch.inference_mode()
def test_flops_equal_what_torch_counts(backbone, tower):
    model = tiny_model(backbone, tower, num_experts=[4, 8])
    model.set_attn_implementation("eager")
    model.set_experts_implementation("eager")
    inputs = tiny_inputs(tower, "<image>" + 60 * "a")
    image, _ = counted(lambda: model.get_image_features(inputs["pixel_values"]))
    both, output = counted(lambda: model(**inputs, use_cache=True, logits_to_keep=1))
    cache, token = output.past_key_values, torch.zeros(1, 1, dtype=torch.long)
    decode, _ = counted(lambda: model(input_ids=token, past_key_values=cache, use_cache=True))
    flops = forward_flops(model.config, text_tokens=60)
    assert flops.tokens == inputs["input_ids"].numel()
    assert (flops.image, flops.prefill, flops.decode) == (image, both - image, decode)


def test_flops_of_top_k_experts_grow_with_top_k():
    one, two = (forward_flops(tiny_config(top_k=top_k)) for top_k in (1, 2))
    expert = 2 * 3 * 32 * 48
    assert two.decode - one.decode == 2 * expert
    assert two.prefill - one.prefill == 2 * expert * one.tokens
    assert two.image == one.image


def test_flops_per_token_are_those_up_to_the_first_answer_token():
    flops = forward_flops(tiny_config())
    assert flops.per_token == (flops.image + flops.prefill) / flops.tokens
