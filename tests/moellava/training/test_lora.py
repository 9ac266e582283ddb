"""Adapters instead of full training, and the plain model that is saved in the end."""

import re

import pytest
import torch

from moellava import MoELlavaForConditionalGeneration
from moellava.training.lora import add_adapters, merged
from moellava.training.recipe import load_recipe
from moellava.training.run import train_stage
from moellava.training.stages import build_model, plan_stage
from tests.tiny_models import tiny_inputs
from tests.tiny_training import tiny_recipe

pytest.importorskip("peft")


def adapted(folder, stage: int, **keys) -> torch.nn.Module:
    recipe = load_recipe(tiny_recipe(folder, stage=stage, lora={"rank": 4, "alpha": 8}, **keys))
    return add_adapters(build_model(recipe, plan_stage(recipe)), recipe)


def trained(model: torch.nn.Module) -> set[str]:
    """Names of the trained parameters, without PEFT's decoration."""
    names = (name for name, parameter in model.named_parameters() if parameter.requires_grad)
    return {re.sub(r"base_model\.model\.|\.default|\.modules_to_save|\.base_layer", "", name) for name in names}


def test_stage_2_adapts_the_language_model_and_trains_the_projector(tmp_path):
    names = trained(adapted(tmp_path, stage=2))
    assert "model.language_model.layers.1.self_attn.q_proj.lora_A.weight" in names
    assert "model.language_model.layers.1.mlp.down_proj.lora_B.weight" in names
    assert "model.multi_modal_projector.linear_1.weight" in names
    assert all("lora_" in name or "multi_modal_projector" in name for name in names)
    assert not any("vision_tower" in name or "lm_head" in name or "embed" in name for name in names)


def test_stage_3_adapts_experts_and_dense_layers_and_trains_the_routers(tmp_path):
    names = trained(adapted(tmp_path, stage=3))
    assert any(re.search(r"layers\.0\.mlp\.experts\..*lora_A", name) for name in names)
    assert any(re.search(r"layers\.1\.mlp\.gate_proj\.lora_A", name) for name in names)
    assert "model.language_model.layers.2.mlp.router.weight" in names
    assert not any("self_attn" in name for name in names)


def test_the_paper_s_stage_3_leaves_the_projector_alone(tmp_path):
    names = trained(adapted(tmp_path, stage=3, trains="moe-as-paper"))
    assert not any("projector" in name or ".layers.1." in name for name in names)
    assert any(".experts." in name for name in names)


@pytest.mark.parametrize("stage", [2, 3])
def test_merging_changes_no_logit(tmp_path, stage):
    model = adapted(tmp_path, stage).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
        inputs = tiny_inputs("clip", "<image>\nWhat is this?")
        before = model(**inputs).logits
        plain = merged(model)
        torch.testing.assert_close(plain(**inputs).logits, before, atol=1e-5, rtol=1e-4)
    assert isinstance(plain, MoELlavaForConditionalGeneration)
    assert not any("lora" in name for name in plain.state_dict())


@pytest.mark.parametrize("packing", [None, {"share_prefix": True}], ids=["padded", "packed"])
def test_the_finished_stage_is_a_plain_model(tmp_path, packing):
    lora = {"rank": 4, "alpha": 8}
    path = tiny_recipe(tmp_path, train={"max_steps": 2, "learning_rate": 0.1}, lora=lora, packing=packing)
    output = train_stage(load_recipe(path))
    _, report = MoELlavaForConditionalGeneration.from_pretrained(output, output_loading_info=True)
    assert not any(report.values())
