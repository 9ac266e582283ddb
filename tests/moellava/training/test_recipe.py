"""Recipes are merged, overridden and checked; what is wrong is one line that names file and key."""

import re
from pathlib import Path

import pytest

from moellava.train import main
from moellava.training.errors import TrainingError
from moellava.training.recipe import MoERecipe, Recipe, find_recipe, load_recipe, recipe_names
from tests.tiny_training import tiny_recipe

RECIPES = Path(__file__).parents[3] / "recipes"
MINIMAL = """
stage: 2
output: out
start_from: stage1
data: [{file: items.json}]
train: {per_device_batch_size: 4, learning_rate: 2e-5}
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(MINIMAL)
    return path


def problem(path: Path, *overrides: str) -> str:
    with pytest.raises(TrainingError) as caught:
        load_recipe(path, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_numbers_with_an_exponent_are_numbers(recipe_file):
    assert load_recipe(recipe_file).train.learning_rate == 2e-5


def test_an_override_reaches_into_sections_and_lists(recipe_file):
    recipe = load_recipe(recipe_file, ["train.learning_rate=1e-4", "data.0.images=pictures", "lora={rank: 8}"])
    assert recipe.train.learning_rate == 1e-4
    assert recipe.data[0].images == Path("pictures")
    assert recipe.lora.rank == 8


def test_extends_merges_sections_and_replaces_lists(recipe_file):
    child = recipe_file.with_name("child.yaml")
    child.write_text("extends: recipe.yaml\ntrain: {seed: 1}\ndata: [{file: a.json}, {file: b.json}]\n")
    recipe = load_recipe(child)
    assert (recipe.train.seed, recipe.train.per_device_batch_size, len(recipe.data)) == (1, 4, 2)


def test_a_recipe_that_extends_itself_is_an_error(recipe_file):
    recipe_file.write_text("extends: recipe.yaml\n")
    assert "extends itself" in problem(recipe_file)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.learning_rat=1", r"train\.learning_rat: unknown key; did you mean learning_rate\?"),
        ("ouput=x", r"ouput: unknown key; did you mean output\?"),
        ("train.learning_rate=fast", r"train\.learning_rate: .*number.*'fast'"),
        ("train.per_device_batch_size=0", r"train\.per_device_batch_size: .*greater than 0"),
        ("stage=4", r"stage: .*'tower', 1, 2, .*not 4"),
        ("start_from=null", r"stage 2 needs start_from: the folder of stage 1"),
        ("moe={top_k: 2}", r"stage 2 is dense"),
        ("data=[]", r"data: names no file"),
        ("packing={share_prefx: true}", r"packing\.share_prefx: unknown key; did you mean share_prefix\?"),
        ("packing={max_length: 5}", r"packing\.max_length: unknown key"),
        ("data.3.file=x", r"there is no '3'"),
        ("seed", r"key=value"),
    ],
)
def test_a_mistake_is_one_line_with_its_key(recipe_file, override, expected):
    assert re.search(expected, problem(recipe_file, override))


def test_more_choices_than_experts_is_an_error(tmp_path):
    message = problem(tiny_recipe(tmp_path), "moe.top_k=5")
    assert "moe: top_k is 5, but there are 4 experts" in message


def test_a_checkpoint_inside_a_log_window_is_an_error(recipe_file):
    assert "multiple of log_steps" in problem(recipe_file, "train.log_steps=30", "train.save_steps=100")


def test_a_missing_recipe_is_an_error(tmp_path):
    assert "cannot be read" in problem(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", ["phi2-stage1", "phi2-stage1.yaml", "recipes/phi2-stage1.yaml"])
def test_a_recipe_is_found_by_its_name_from_any_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert find_recipe(name).samefile(RECIPES / "phi2-stage1.yaml")
    assert load_recipe(name).stage == 1


def test_a_file_of_ones_own_comes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "phi2-stage1").write_text("mine")
    assert find_recipe("phi2-stage1") == Path("phi2-stage1")


def test_a_name_that_no_recipe_has_names_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert problem("phi2-stge1").startswith(
        "no recipe 'phi2-stge1': not a file, and none has that name; did you mean phi2"
    )
    assert all(name in problem("xxxxxxxx") for name in recipe_names())


def test_a_dry_run_of_a_tower_trains_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["nano-tower", "--dry-run"]) == 2
    assert "--dry-run is for stages" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_where_prints_the_file_that_accelerate_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["accelerate/fsdp2", "--where"]) == 0
    assert Path(capsys.readouterr().out.strip()).samefile(RECIPES / "accelerate" / "fsdp2.yaml")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_in_the_repository_can_be_read(path):
    assert isinstance(load_recipe(path), Recipe)


@pytest.mark.parametrize("backbone", ["phi2", "phi2-384", "stablelm", "stablelm-384", "qwen1.5", "openchat"])
@pytest.mark.parametrize(("stage", "global_batch", "rate"), [(1, 256, 1e-3), (2, 128, 2e-5), (3, 128, 2e-5)])
def test_published_recipes_have_the_scripts_batch_and_rate(backbone, stage, global_batch, rate):
    """spec/training.md section 1, on 8 GPUs."""
    train = load_recipe(RECIPES / f"{backbone}-stage{stage}.yaml").train
    assert 8 * train.per_device_batch_size * train.gradient_accumulation_steps == global_batch
    assert train.learning_rate == rate


@pytest.mark.parametrize(
    ("choice", "layers"),
    [("alternate", [0, 2, 4]), ("all", [0, 1, 2, 3, 4]), ("first_half", [0, 1]), ("second_half", [2, 3, 4])],
)
def test_named_choices_of_sparse_layers(choice, layers):
    assert MoERecipe(layers=choice).config(num_layers=5).layers == layers
