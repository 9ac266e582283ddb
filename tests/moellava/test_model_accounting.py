"""Any model of transformers, from its configuration alone: published sizes, and torch's count of what is multiplied."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig

from moellava import accounting, zoo
from moellava.model_accounting import count_model, lay_out, weight_flops
from tests.tiny_sparse import ARCHITECTURES, tiny_sparse_config, tiny_sparse_model

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("architecture", "total", "activated"),  # from the name of the checkpoint that the class's documentation gives
    [
        ("qwen3_5_moe", 35, 3),  # Qwen3.5-35B-A3B
        ("ernie4_5_vl_moe", 28, 3),  # ERNIE-4.5-VL-28B-A3B
        ("llama4", None, 17),  # Llama-4-Scout-17B-16E
        ("mistral4", 119, None),  # Mistral-Small-4-119B
        ("mistral_large4", None, 52),  # Mistral-Large-4-1T-A52B
    ],
)
def test_default_configurations_have_the_sizes_in_the_checkpoints_names(architecture, total, activated):
    """Activated without the table of embeddings, which is looked up and not multiplied, or with it, as Llama-4 counts."""
    count = count_model(lay_out(AutoConfig.for_model(architecture)))
    with_table, table = count.llm_activated / 1e9, count.parts["embedding"] / 1e9
    sizes = {int(with_table), round(with_table), int(with_table - table), round(with_table - table)}
    assert activated is None or activated in sizes
    assert total is None or total in {int(n / 1e9) for n in (count.total, count.llm_total)} | {round(count.total / 1e9)}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_parameter_is_counted_once_in_some_part(architecture):
    count = count_model(lay_out(tiny_sparse_config(architecture)))
    assert count.total == sum(p.numel() for p in tiny_sparse_model(architecture).parameters())
    assert {"experts", "router", "attention", "embedding", "norms", "vision tower"} <= count.parts.keys()
    assert "other" not in count.parts


def test_idle_experts_are_those_beyond_top_k():
    model, layers, expert = lay_out(tiny_sparse_config("qwen3_vl_moe")), 2, 3 * 32 * 16  # one of three layers is dense
    count = count_model(model)
    assert count.total - count.activated == count.llm_total - count.llm_activated == layers * 2 * expert
    assert count_model(model, top_k=1).idle == layers * 3 * expert


def test_ernies_experts_for_pictures_are_idle_for_text():
    config = AutoConfig.for_model("ernie4_5_vl_moe")
    count = count_model(lay_out(config))
    text, vision = (3 * config.text_config.hidden_size * width for width in config.text_config.moe_intermediate_size)
    layers = count.parts["experts"] // (64 * (text + vision))
    assert count.idle == layers * ((64 - 6) * text + 64 * vision)


@pytest.mark.parametrize(
    "architecture", sorted(ARCHITECTURES.keys() - {"llama4"})
)  # which multiplies idle experts by 0
@torch.inference_mode()
def test_products_with_weights_are_what_torch_counts(architecture):
    model = tiny_sparse_model(architecture)
    model.set_experts_implementation("eager")
    with FlopCounterMode(display=False) as counter:
        output = model.get_decoder()(inputs_embeds=torch.randn(1, 1, 32), use_cache=False)
        model.get_output_embeddings()(output.last_hidden_state)
    counted = counter.get_flop_counts()["Global"]
    products = sum(
        number for operation, number in counted.items() if "mm" in str(operation) and "bmm" not in str(operation)
    )
    convolutions = sum(p.numel() for name, p in model.get_decoder().named_parameters() if "conv1d" in name)
    assert weight_flops(model) == products + 2 * convolutions  # torch counts the padding of a convolution, too


def test_ours_is_counted_as_by_its_own_accounting():
    config = zoo.architecture("moe-llava-nano")
    one, other = accounting.count_parameters(config), count_model(lay_out(config))
    names = ("total", "activated", "llm_total", "llm_activated")
    assert [getattr(one, name) for name in names] == [getattr(other, name) for name in names]
