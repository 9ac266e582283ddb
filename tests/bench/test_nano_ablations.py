"""The table of the ablations, from runs that are there."""

import shutil
from pathlib import Path

import pytest

from bench.nano_ablations import RECIPE, VARIANTS, Variant, ablation_record, as_markdown
from moe_eval.errors import UserError
from moellava.training.recipe import load_recipe

BASELINES = Path("results/baselines")
PLAIN, TWIN = Variant("sparse", "as it is"), Variant("dense", "dense twin")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """The committed runs of the nano models, as if they were trainings with two seeds each."""
    folder = tmp_path_factory.mktemp("ablations")
    for name, model in (("sparse", "moe-llava-nano"), ("dense", "llava-nano")):
        for seed in (1, 2):
            shutil.copytree(BASELINES / model, folder / f"{name}-seed{seed}")
    return folder


def test_numbers_are_those_of_the_runs(runs):
    sparse, dense = ablation_record(runs, [1, 2], [PLAIN, TWIN]).variants
    assert sparse.against_default is None
    assert dense.against_default is not None
    assert dense.against_default.mean == pytest.approx(dense.average.mean - sparse.average.mean)
    assert sparse.average.mean == pytest.approx(sum(n.mean for n in sparse.tasks.values()) / len(sparse.tasks))
    assert max(number.mean for number in sparse.tasks.values()) <= 100  # MME, too
    assert sparse.average.low == sparse.average.high == pytest.approx(sparse.average.mean)  # the same run twice
    assert sparse.total > sparse.activated
    assert dense.total == dense.activated


def test_an_interval_is_students(runs):
    differing = Variant("differing", "two seeds that differ")
    shutil.copytree(runs / "sparse-seed1", runs / "differing-seed1")
    shutil.copytree(runs / "dense-seed1", runs / "differing-seed2")
    _, record = ablation_record(runs, [1, 2], [PLAIN, differing]).variants
    one, two = record.average.values
    assert record.average.high == pytest.approx(record.average.mean + 12.706 * abs(one - two) / 2, rel=1e-4)


def test_the_table_has_a_row_per_variant(runs):
    lines = as_markdown(ablation_record(runs, [1], [PLAIN, TWIN])).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["as it is", "dense twin"]


def test_a_missing_run_is_named(runs):
    with pytest.raises(UserError, match=r"sparse-seed3/\w+ is missing: make train RECIPE=nano-ablations makes it"):
        ablation_record(runs, [1, 2, 3], [PLAIN])


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_every_variant_is_a_recipe(variant):
    recipe = load_recipe(RECIPE, variant.changes)
    assert recipe.stage == 3
    assert (recipe.as_record() == load_recipe(RECIPE).as_record()) == (variant is VARIANTS[0])
