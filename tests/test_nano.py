"""The models that come with the project: made by the recipes that are here, small, and guarded by a baseline."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from moe_eval.cli import main
from moellava import zoo
from moellava.accounting import count_parameters
from moellava.configuration import MoELlavaConfig
from moellava.training.recipe import load_recipe

REPOSITORY = Path(__file__).parents[1]
RECIPES = {"moe-llava-nano": "nano-moe-stage3", "llava-nano": "nano-dense-stage3"}
BASELINES = REPOSITORY / "results" / "baselines"


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe_that_is_here_made_the_weights(name):
    made_by = json.loads((zoo.resolve(name) / "training.json").read_text())["recipe"]
    assert made_by == load_recipe(REPOSITORY / "recipes" / f"{RECIPES[name]}.yaml").as_record()


@pytest.mark.parametrize("name", RECIPES)
def test_the_log_goes_to_the_last_step(name):
    folder = zoo.resolve(name)
    steps = [json.loads(line)["step"] for line in (folder / "training_log.jsonl").read_text().splitlines()]
    assert steps[-1] == json.loads((folder / "training.json").read_text())["steps"]


def test_both_together_are_small():
    files = [path for name in RECIPES for path in zoo.resolve(name).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 16 * 2**20


def test_they_activate_as_many_parameters():
    activated = [count_parameters(MoELlavaConfig.from_pretrained(zoo.resolve(name))).llm_activated for name in RECIPES]
    assert max(activated) / min(activated) < 1.01


@pytest.mark.slow
def test_a_damaged_checkpoint_is_caught(tmp_path, capsys):
    damaged = tmp_path / "moe-llava-nano"
    shutil.copytree(zoo.resolve("moe-llava-nano"), damaged)
    weights = load_file(damaged / "model.safetensors")
    experts = next(name for name in weights if name.endswith("layers.0.mlp.experts.down_proj"))
    weights[experts] = -weights[experts]  # of one layer; for a single expert the others make up
    save_file(weights, damaged / "model.safetensors", metadata={"format": "pt"})
    assert check(tmp_path, "moe-llava-nano", capsys) == 0
    assert check(tmp_path, str(damaged), capsys) == 1


def check(tmp_path: Path, model: str, capsys) -> int:
    """Exit code of the gate for a model's answers to POPE's mini."""
    out = tmp_path / Path(model).name / str(len(model))
    with pytest.raises(SystemExit):
        main(["run", model, "--tasks", "pope", "--data", "mini", "--out", str(out)])
    with pytest.raises(SystemExit) as stopped:
        main(["check", str(next(out.glob("*/pope"))), "--against", str(BASELINES / "moe-llava-nano" / "pope")])
    capsys.readouterr()
    return int(stopped.value.code or 0)
