"""The plan of a stage, and the arithmetic behind speed and memory."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from moellava.accounting import parameter_shapes
from moellava.train import main
from moellava.training.flops import training_flops
from moellava.training.metrics import load_metrics
from moellava.training.plan import activation_bytes, memory_per_gpu, training_plan
from moellava.training.recipe import load_recipe
from moellava.training.run import load_dataset
from moellava.training.stages import mark_trained, plan_stage
from moellava.zoo import architecture
from tests.tiny_models import tiny_config, tiny_inputs, tiny_model
from tests.tiny_training import tiny_recipe


def test_dry_run_prints_the_plan_and_trains_nothing(tmp_path, capsys):
    assert main([str(tiny_recipe(tmp_path)), "--dry-run"]) == 0
    text = capsys.readouterr().out
    model = tiny_model()
    trained = mark_trained(model, "moe-as-scripted")
    total = sum(p.numel() for p in model.parameters())
    count = sum(p.numel() for name, p in model.named_parameters() if name in trained)
    assert f"all               {total:,}     {count:,}" in text
    assert "8 GPUs x batch 4 x accumulation 1 = 32 items per step; 6 steps" in text
    assert "FSDP2" in text
    assert not (tmp_path / "out").exists()


def test_tokens_per_step_count_picture_rows(tmp_path, capsys):
    recipe = load_recipe(tiny_recipe(tmp_path))
    processor = plan_stage(recipe).processor
    assert main([str(tmp_path / "recipe.yaml"), "--dry-run"]) == 0
    longest = int(capsys.readouterr().out.partition("the longest of ")[2].partition(" ")[0])
    text = "<image>\nWhat is 23? "
    prompt = processor.apply_chat_template([{"role": "user", "content": text.strip()}], add_generation_prompt=True)
    assert longest == len(processor.tokenize(prompt, patches=4)) + len(" It is 529.") + 1


def test_memory_follows_the_formulas():
    shapes = {"model.language_model.layers.0.mlp.fc1.weight": torch.Size([10]), "lm_head.weight": torch.Size([30])}
    gathered = 2 * 2 * 30
    assert memory_per_gpu(shapes, "moe-as-scripted", num_gpus=2) == {
        "DDP": 6 * 40 + 16 * 10,
        "FSDP2": (4 * 40 + 12 * 10) / 2 + gathered,
        "ZeRO-3": (2 * 40 + 14 * 10) / 2 + gathered,
    }


def test_stage_2_of_phi_2_needs_sharding_on_80_gb():
    shapes = parameter_shapes(architecture("llava-phi2-2.7b"))
    memory = memory_per_gpu(shapes, "all-but-tower", num_gpus=8)
    assert memory["DDP"] > 60e9
    assert memory["FSDP2"] < 10e9


def test_checkpointing_keeps_less():
    config = tiny_config()
    assert activation_bytes(config, 100, checkpointing=True) < activation_bytes(config, 100, checkpointing=False)


def test_only_unpacked_rows_need_memory_for_padding(tmp_path, monkeypatch):
    counted = []
    monkeypatch.setattr(
        "moellava.training.plan.activation_bytes", lambda config, tokens, _: counted.append(tokens) or 0
    )
    padded = load_recipe(tiny_recipe(tmp_path))
    packed = load_recipe(tmp_path / "recipe.yaml", ["packing={}"])
    lengths = [len(example.conversations[0]) for example in load_dataset(padded, plan_stage(padded))]
    for recipe in (padded, packed):
        training_plan(recipe)
    assert counted == [4 * max(lengths), round(4 * sum(lengths) / len(lengths))]


@pytest.mark.parametrize("trains", ["all-but-tower", "moe-as-scripted"])
def test_training_flops_are_what_torch_counts(trains):
    """Torch's counter sees the products of one forward and backward pass, frozen matrices left out of the second half."""
    model = tiny_model(backbone="llama").train()
    mark_trained(model, trains)
    model.set_attn_implementation("eager")
    inputs = tiny_inputs("clip", "<image>\nWhat is this?")
    with FlopCounterMode(display=False) as counter:
        model(**inputs, labels=inputs["input_ids"].clamp(max=256)).loss.backward()
    ours = training_flops(model.config, parameter_shapes(model.config), trains).of(inputs)
    assert ours == pytest.approx(counter.get_total_flops(), rel=0.1)


def test_balanced_load_has_entropy_one_and_a_single_expert_zero():
    logs = load_metrics(torch.tensor([[5.0, 5, 5, 5], [20, 0, 0, 0]]), [0, 2])
    assert logs["load_entropy/layer0"] == pytest.approx(1)
    assert logs["load_entropy/layer2"] == pytest.approx(0)
    assert logs["load_entropy"] == pytest.approx(0.5)
    assert logs["load/layer2/expert0"] == 1
