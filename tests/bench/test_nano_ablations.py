"""The table of the ablations, from runs that are there."""

import shutil
from pathlib import Path

import pytest

from bench.nano_ablations import (
    RECIPE,
    VARIANTS,
    Difference,
    Variant,
    ablation_record,
    as_markdown,
    differences_to_first,
)
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
    tasks = [score for name, score in sparse.scores.items() if name != "average"]
    assert sparse.scores["average"].mean == pytest.approx(sum(score.mean for score in tasks) / len(tasks))
    assert len(tasks) == 9
    assert max(score.mean for score in tasks) <= 100  # MME, too
    assert sparse.against_default == {}
    assert dense.against_default.keys() == dense.scores.keys() == sparse.scores.keys()
    for name, difference in dense.against_default.items():
        assert difference.value == pytest.approx(dense.scores[name].mean - sparse.scores[name].mean)
        assert difference.low is difference.high is None  # the same run twice has no spread
    assert sparse.total > sparse.activated
    assert dense.total == dense.activated


def test_the_interval_of_two_variants_is_that_of_a_paired_t_test(runs):
    swapped = [("one", 1, "sparse"), ("one", 2, "dense"), ("other", 1, "dense"), ("other", 2, "sparse")]
    for variant, seed, model in swapped:
        shutil.copytree(runs / f"{model}-seed1", runs / f"{variant}-seed{seed}")
    both = [Variant("one", "both"), Variant("other", "both, the other way round")]
    _, record = ablation_record(runs, [1, 2], both).variants
    first, second = record.scores["average"].values  # differences: first − second, and its opposite
    difference = record.against_default["average"]
    assert difference.value == pytest.approx(0)
    assert difference.high == pytest.approx(12.7062 * abs(first - second), rel=1e-4)
    assert difference.low == pytest.approx(-difference.high)


def test_what_a_seed_does_to_all_variants_is_taken_out():
    base = [[80.0, 70.0, 75.0], [81.0, 70.5, 76.0], [82.0, 72.0, 76.5]]
    moved = [[value + 5 * seed for seed, value in enumerate(values)] for values in base]
    assert [vars(one) for one in differences_to_first(base)] == [
        pytest.approx(vars(one)) for one in differences_to_first(moved)
    ]


def test_a_star_is_where_zero_is_outside_the_interval(runs):
    record = ablation_record(runs, [1, 2], [PLAIN, TWIN])
    clear = {"gqa": Difference(value=2, low=1, high=3), "pope": Difference(value=1, low=-1, high=3)}
    record.variants[1].against_default.update(clear)
    row = as_markdown(record).splitlines()[-1]
    assert row.count("*") == 1
    assert f" {record.variants[1].scores['gqa'].mean:.1f}* " in row


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
