"""Benchmarks asked while a stage is trained: their numbers are in the log, and nothing that is trained changes."""

import json
from pathlib import Path

import pytest

import moellava
from moe_eval.mini.training import write_training_data
from moellava.training.recipe import load_recipe
from moellava.training.run import train_stage
from tests.tiny_training import log_of, tiny_recipe

pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning"), pytest.mark.usefixtures("one_thread")]

NANO = Path(moellava.__file__).parent / "nano"
ASKED = {"tasks": ["pope"], "every_steps": 2, "limit": 18}


def test_evaluation_is_logged_and_trains_nothing(tmp_path):
    packing = {"share_prefix": False}  # attends in blocks, which generating cannot
    plain = train_stage(load_recipe(tiny_recipe(tmp_path, packing=packing), [f"output={tmp_path / 'plain'}"]))
    watched = train_stage(load_recipe(tiny_recipe(tmp_path, packing=packing, evaluate=ASKED)))
    assert (plain / "model.safetensors").read_bytes() == (watched / "model.safetensors").read_bytes()
    lines = log_of(watched)
    assert [line["step"] for line in lines if "eval_pope" in line] == [2, 4, 6]
    assert [line for line in lines if "eval_pope" not in line] == log_of(plain)
    scores = json.loads((watched / "evaluations" / "step-4" / "model" / "pope" / "scores.json").read_text())
    assert [line["eval_pope"] for line in lines if line["step"] == 4 and "eval_pope" in line] == [
        scores["headline"]["value"]
    ]
    assert len(scores["samples"]) == 18


@pytest.mark.slow
def test_the_nano_recipe_with_evaluation(tmp_path, capsys):
    """Some steps of stage 3, with the committed dense nano model in the place of stage 2's."""
    write_training_data(tmp_path / "data", 60, 0)
    asked = "{tasks: [pope, vqav2], every_steps: 2, limit: 36}"
    changes = [
        f"output={tmp_path / 'out'}",
        f"start_from={NANO / 'llava-nano'}",
        f"data=[{{file: {tmp_path / 'data' / 'mix.json'}, images: {tmp_path / 'data' / 'images'}}}]",
        f"evaluate={asked}",
        *("train.max_steps=4", "train.save_steps=2", "train.log_steps=1", "train.per_device_batch_size=2"),
    ]
    output = train_stage(load_recipe("nano-moe-stage3", changes))
    lines = [line for line in log_of(output) if "eval_pope" in line]
    assert [line["step"] for line in lines] == [2, 4]
    for line in lines:
        for task in ("pope", "vqav2"):
            assert line[f"eval_{task}_low"] <= line[f"eval_{task}"] <= line[f"eval_{task}_high"]
    assert lines[0]["eval_pope"] > 75  # it still knows what the dense model has learnt
    assert "step 2/4  pope " in capsys.readouterr().out
