"""A stage from recipe to finished folder: what it logs and saves, and how it ends when something goes wrong."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from moellava import MoELlavaForConditionalGeneration, MoELlavaProcessor
from moellava.train import main
from moellava.training.errors import TrainingError
from moellava.training.recipe import load_recipe
from moellava.training.run import only_training, train_stage
from moellava.training.trainer import SafeTrainer
from tests.tiny_training import log_of, tiny_recipe

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def train(path: Path, *overrides: str, fresh: bool = False) -> Path:
    return train_stage(load_recipe(path, overrides), fresh=fresh)


def weights(output: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(output / "model.safetensors")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The output of one run of stage 3, beside its recipe."""
    folder = tmp_path_factory.mktemp("stage3")
    return train(tiny_recipe(folder))


def test_the_finished_stage_is_a_model_folder_with_its_processor(finished):
    model = MoELlavaForConditionalGeneration.from_pretrained(finished)
    assert model.config.moe.layers == [0, 2]
    assert MoELlavaProcessor.from_pretrained(finished).chat_template
    assert not list(finished.glob("checkpoint-*"))


def test_only_what_the_stage_trains_has_changed(finished):
    before, after = weights(finished.parent / "base"), weights(finished)
    same = {name for name in before.keys() & after.keys() if torch.equal(before[name], after[name])}
    changed = (before.keys() & after.keys()) - same
    assert all(".multi_modal_projector." in name or ".language_model.layers." in name for name in changed)
    assert {name.split(".mlp.")[0].rpartition(".")[2] for name in changed if ".mlp." in name} == {"1", "3"}
    assert any("self_attn" in name for name in same)


def test_every_step_is_logged_with_the_experts_load(finished):
    lines = log_of(finished)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    for line in lines:
        assert sum(line[f"load/layer2/expert{expert}"] for expert in range(4)) == pytest.approx(1)
        assert 0 < line["load_entropy"] <= 1
        assert line["aux_loss"] >= 1.9  # 1 for each of two layers when balanced


def test_the_same_seed_gives_the_same_bytes(finished):
    again = train(finished.parent / "recipe.yaml", f"output={finished.parent / 'again'}")
    assert (again / "model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()
    assert log_of(again) == log_of(finished)


def test_a_finished_stage_is_not_trained_again(finished, capsys):
    before = (finished / "model.safetensors").stat().st_mtime_ns
    train(finished.parent / "recipe.yaml")
    assert "finished already" in capsys.readouterr().out
    assert (finished / "model.safetensors").stat().st_mtime_ns == before


def test_a_folder_of_another_recipe_is_not_mixed_up(finished):
    with pytest.raises(TrainingError, match=r"started with another train\.learning_rate; --fresh starts over"):
        train(finished.parent / "recipe.yaml", "train.learning_rate=1e-4")


def test_fresh_starts_over(tmp_path):
    path = tiny_recipe(tmp_path, stage=2, train={"max_steps": 1})
    train(path)
    output = train(path, "train.learning_rate=1e-4", fresh=True)
    assert json.loads((output / "training.json").read_text())["recipe"]["train"]["learning_rate"] == 1e-4


def test_the_next_stage_takes_the_finished_folder(tmp_path):
    stage_2 = train(tiny_recipe(tmp_path, stage=2, train={"max_steps": 1}))
    stage_3 = train(tiny_recipe(tmp_path, train={"max_steps": 1}), f"start_from={stage_2}", f"output={tmp_path / '3'}")
    assert MoELlavaForConditionalGeneration.from_pretrained(stage_3).config.moe.layers


def test_several_gpus_want_torchrun(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(TrainingError, match=r"^2 GPUs and one process: start it with torchrun --nproc-per-node 2 "):
        train(tiny_recipe(tmp_path))


def test_the_loss_is_the_mean_over_micro_batches(tmp_path):
    """As upstream's: not over all tokens of the step."""
    steps = {"max_steps": 2, "per_device_batch_size": 2, "learning_rate": 1e-12, "group_by_modality_length": False}
    path = tiny_recipe(tmp_path, stage=2, train=steps)
    # The same two micro-batches, first as steps of their own, which change nothing at this rate.
    single = [line["loss"] for line in log_of(train(path))]
    both = train(path, "train.max_steps=1", "train.gradient_accumulation_steps=2", f"output={tmp_path / 'both'}")
    assert log_of(both)[0]["loss"] == pytest.approx(sum(single) / 2, rel=1e-6)


def spoil(monkeypatch: pytest.MonkeyPatch, at_step: int) -> None:
    """Make the loss NaN from a step on."""
    original = SafeTrainer.compute_loss

    def compute_loss(self, model, inputs, **kwargs):
        if self.state.global_step >= at_step:
            with torch.no_grad():
                next(p for p in model.parameters() if p.requires_grad).fill_(float("nan"))
        return original(self, model, inputs, **kwargs)

    monkeypatch.setattr(SafeTrainer, "compute_loss", compute_loss)


def test_a_loss_that_is_not_a_number_stops_the_run_and_names_the_items(tmp_path, monkeypatch):
    spoil(monkeypatch, at_step=3)
    path = tiny_recipe(tmp_path)
    with pytest.raises(
        TrainingError, match=r"step 4: the loss is nan; the 4 items of the batch are in .*bad_batch\.json"
    ):
        train(path)
    facts = json.loads((tmp_path / "out" / "bad_batch.json").read_text())
    assert facts["step"] == 4
    assert len(facts["ids"]) == 4
    assert all("item" in item for item in facts["ids"])
    assert [folder.name for folder in (tmp_path / "out").glob("checkpoint-*")] == ["checkpoint-2"]


def test_a_gradient_that_is_not_finite_does_not_reach_the_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.Trainer._get_grad_norm", lambda *_, **__: torch.tensor(float("inf")))
    with pytest.raises(TrainingError, match="the gradient norm is inf"):
        train(tiny_recipe(tmp_path))


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_good_checkpoint_and_the_run_goes_on_from_it(tmp_path, monkeypatch):
    path = tiny_recipe(tmp_path)
    whole = train(path, f"output={tmp_path / 'whole'}")
    original = SafeTrainer._save_optimizer_and_scheduler

    def full(self, folder):
        original(self, folder)
        if self.state.global_step == 4:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(SafeTrainer, "_save_optimizer_and_scheduler", full)
        with pytest.raises(
            TrainingError, match=r"checkpoint-4: cannot be written .*No space left.*checkpoint-2 is kept"
        ):
            train(path)
    left = sorted(entry.name for entry in (tmp_path / "out").iterdir())
    assert "checkpoint-2" in left
    assert ".partial" not in left
    resumed = train(path)
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert log_of(resumed) == log_of(whole)


@pytest.mark.parametrize("keep", [1, 2])
def test_only_the_newest_checkpoints_are_kept(tmp_path, monkeypatch, keep):
    spoil(monkeypatch, at_step=5)
    with pytest.raises(TrainingError):
        train(tiny_recipe(tmp_path, train={"save_steps": 1, "keep_checkpoints": keep}))
    kept = sorted(folder.name for folder in (tmp_path / "out").glob("checkpoint-*"))
    assert kept == [f"checkpoint-{step}" for step in (4, 5)][-keep:]


def test_a_checkpoint_holds_no_pickle_of_arguments(tmp_path, monkeypatch):
    spoil(monkeypatch, at_step=3)
    with pytest.raises(TrainingError):
        train(tiny_recipe(tmp_path))
    assert not (tmp_path / "out" / "checkpoint-2" / "training_args.bin").exists()


def test_a_dead_expert_is_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("moellava.training.trainer.WATCH_STEPS", 2)
    train(tiny_recipe(tmp_path, train={"max_steps": 2, "dead_expert_share": 0.9}))
    out = capsys.readouterr().out
    assert "warning: 8 experts got under 90% of the last 2 steps' choices (layer 0 expert 0, " in out


def test_mfu_is_logged_where_the_peak_is_known(tmp_path):
    output = train(tiny_recipe(tmp_path, stage=2, train={"max_steps": 1, "peak_tflops": 1e-3}))
    line = json.loads((output / "training_log.jsonl").read_text())
    assert line["mfu"] > 0
    assert line["tokens_per_second"] > 0


INTERRUPTED = {
    "muon": {"train": {"optimizer": "muon"}},
    "lora": {"lora": {"rank": 4, "alpha": 8}},
    "second epoch": {"train": {"max_steps": None, "epochs": 2, "per_device_batch_size": 8}},  # three steps each
    "shuffled": {"train": {"group_by_modality_length": False}},
    "workers": {"train": {"workers": 2}},
}


@pytest.mark.slow
@pytest.mark.parametrize("keys", INTERRUPTED.values(), ids=INTERRUPTED)
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch, keys):
    if "lora" in keys:
        pytest.importorskip("peft", reason="LoRA is the extra [train]")
    path = tiny_recipe(tmp_path, **keys)
    whole = train(path, f"output={tmp_path / 'whole'}")
    with monkeypatch.context() as patch:
        spoil(patch, at_step=5)
        with pytest.raises(TrainingError):
            train(path)
    resumed = train(path)
    assert log_of(resumed) == log_of(whole)
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_tensorboard_gets_the_metrics(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    output = train(tiny_recipe(tmp_path, train={"max_steps": 2, "tensorboard": True}))
    board = events.EventAccumulator(str(output / "tensorboard")).Reload()
    assert {"train/loss", "train/aux_loss", "train/load_entropy", "train/tokens_per_second"} <= set(
        board.Tags()["scalars"]
    )
    assert [event.step for event in board.Scalars("train/loss")] == [1, 2]


def test_the_command_prints_steps_and_where_the_result_is(tmp_path, capsys):
    assert main([str(tiny_recipe(tmp_path, stage=2)), "train.max_steps=1"]) == 0
    printed = capsys.readouterr()
    assert "step 1/1  loss " in printed.out
    assert f"{tmp_path / 'out'}: done; evaluate it with moe-eval run {tmp_path / 'out'}" in printed.out


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys):
    assert main([str(tiny_recipe(tmp_path)), "train.sed=1"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "train.sed: unknown key; did you mean seed?" in error


def test_no_weight_is_read_before_the_recipe_is_right(tmp_path, monkeypatch):
    monkeypatch.setattr("moellava.training.run.build_model", lambda *_: pytest.fail("weights were read"))
    with pytest.raises(TrainingError):
        train(tiny_recipe(tmp_path), "data.0.file=nothing.json")


def test_two_trainings_do_not_share_a_folder(tmp_path, capsys):
    recipe = tiny_recipe(tmp_path)
    with only_training(tmp_path / "out"):
        assert main([str(recipe)]) == 2
    assert "another training is at work there" in capsys.readouterr().err


def test_a_torn_checkpoint_is_named(tmp_path, capsys, monkeypatch):
    recipe = tiny_recipe(tmp_path, train={"max_steps": 1, "save_steps": 1})
    monkeypatch.setattr("moellava.training.run.save_finished", lambda *_: None)
    assert main([str(recipe)]) == 0
    optimizer = tmp_path / "out" / "checkpoint-1" / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:100])
    assert main([str(recipe)]) == 2
    assert "checkpoint-1: " in (said := capsys.readouterr().err)
    assert "remove this folder" in said
