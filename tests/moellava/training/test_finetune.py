"""The stage "finetune": a finished model, dense or sparse, goes on with other data."""

import json
from pathlib import Path

import pytest
import torch

from moellava import MoELlavaForConditionalGeneration
from moellava.training.errors import TrainingError
from moellava.training.recipe import load_recipe
from moellava.training.run import train_stage
from moellava.training.stages import plan_stage
from tests.tiny_models import tiny_inputs, tiny_model, tiny_processor
from tests.training_data import item, write_items

ITEMS = [
    item(f"{n}", "<image>\nIs it red?", "no", "Is it blue?", "yes", image=f"{'a' * (n + 1)}.png") for n in range(4)
]


def recipe(folder: Path, *overrides: str, layers: tuple[int, ...] = (0, 2)):
    """Two steps on the finished model in `folder / "model"`, which is made here."""
    tiny_model(layers=layers).save_pretrained(folder / "model")
    tiny_processor().save_pretrained(folder / "model")
    data = write_items(folder, ITEMS)
    path = folder / "recipe.yaml"
    path.write_text(
        f"stage: finetune\ntrains: all\nsplit_rounds: true\npacking: {{share_prefix: true}}\n"
        f"start_from: {folder / 'model'}\noutput: {folder / 'out'}\ndata: [{{file: {data.path}, images: {data.images}}}]\n"
        "train: {max_steps: 2, per_device_batch_size: 2, learning_rate: 0.01, tensorboard: false}\n"
    )
    return load_recipe(path, overrides)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return MoELlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).state_dict()


def test_a_sparse_model_goes_on_as_it_is(tmp_path):
    asked = recipe(tmp_path)
    train_stage(asked)
    before, after = weights(tmp_path / "model"), weights(tmp_path / "out")
    assert before.keys() == after.keys()
    assert json.loads((tmp_path / "out" / "config.json").read_text())["moe"]["layers"] == [0, 2]
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    for part in (".mlp.experts.", ".mlp.router.", ".self_attn.", "multi_modal_projector", "vision_tower"):
        assert any(part in name for name in moved), part


def test_a_model_trained_in_packed_rows_does_not_ask_for_them(tmp_path):
    train_stage(recipe(tmp_path))
    assert "moellava_blocks" not in (tmp_path / "out" / "config.json").read_text()
    model = MoELlavaForConditionalGeneration.from_pretrained(tmp_path / "out", dtype=torch.float32)
    assert model(**tiny_inputs("clip", "<image>\nIs it red?")).logits.isfinite().all()


def test_what_is_not_trained_stays_to_the_bit(tmp_path):
    train_stage(recipe(tmp_path, "trains=moe-as-paper"))
    before, after = weights(tmp_path / "model"), weights(tmp_path / "out")
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved
    assert all(".mlp.experts." in name or ".mlp.router." in name for name in moved)


def test_a_dense_model_goes_on_too_but_has_no_experts_to_train(tmp_path):
    plan = plan_stage(recipe(tmp_path, layers=()))
    assert plan.config.moe.layers == []
    with pytest.raises(TrainingError, match=r"model is dense; trains: moe-as-paper is for sparse models"):
        plan_stage(recipe(tmp_path, "trains=moe-as-paper", layers=()))


def test_a_model_of_any_stage_may_be_fine_tuned(tmp_path):
    asked = recipe(tmp_path)
    (tmp_path / "model" / "training.json").write_text('{"recipe": {"stage": 3}}')
    assert plan_stage(asked).config.moe.layers == [0, 2]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("start_from=null", "stage finetune needs start_from: the folder of a finished model"),
        ("moe={}", "stage finetune takes the whole model of start_from as it is; leave moe out"),
        ("backbone=a/b", "leave backbone out"),
        ("vision_tower=a/b", "leave vision_tower out"),
    ],
)
def test_a_recipe_that_says_more_or_less_is_refused(tmp_path, override, message):
    with pytest.raises(TrainingError, match=message):
        recipe(tmp_path, override)


def test_a_folder_without_a_model_is_refused(tmp_path):
    asked = recipe(tmp_path, f"start_from={tmp_path / 'nowhere'}")
    with pytest.raises(
        TrainingError, match=r"nowhere is no finished stage \(stage finetune goes on from a finished model"
    ):
        plan_stage(asked)


def test_stage_3_names_the_way_for_a_sparse_model(tmp_path):
    asked = recipe(tmp_path, "stage=3", "moe={num_experts: 4}")
    with pytest.raises(TrainingError, match=r"sparse already; .*\(to go on with a sparse one: stage: finetune\)"):
        plan_stage(asked)
