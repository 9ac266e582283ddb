"""Runs that differ in the seed of the routing noise are found beside each other, and their numbers put together."""

from dataclasses import replace

import pytest

from moe_eval.comparison.seeds import SpreadsRecord, noisy_runs, spread_line, spreads_of, write_spreads
from moe_eval.registry import find_task
from moe_eval.runs.plan import Plan
from moe_eval.runs.records import RunRecord, read_record
from tests.run_folders import OTHER_DATA, TRAINED_MODEL, write_run


def write_seed(out, seed: int, value: float, **options):
    model = replace(TRAINED_MODEL, router_noise_seed=seed)
    metrics = (
        {"categories": {"random": {"f1": value + 1}}, "only": seed}
        if seed == 0
        else {"categories": {"random": {"f1": value + 1}}}
    )
    return write_run(out / f"m--noise-seed{seed}" / "pope", "pope", value, model=model, metrics=metrics, **options)


@pytest.fixture
def plain(tmp_path):
    folder = write_run(tmp_path / "m" / "pope", "pope", 61.0)
    for seed, value in enumerate((60.0, 61.0, 62.0)):
        write_seed(tmp_path, seed, value)
    write_seed(tmp_path, 7, 10.0, data=OTHER_DATA)
    write_run(tmp_path / "m--likelihood" / "pope", "pope", 10.0, protocol="likelihood")
    write_run(
        tmp_path / "other" / "pope", "pope", 10.0, model=replace(TRAINED_MODEL, name="other", router_noise_seed=1)
    )
    return folder


def test_only_runs_of_the_same_setting_count(plain, tmp_path):
    run = read_record(RunRecord, plain / "run.json")
    noisy, without = noisy_runs(plain, run)
    assert {seed: scores.headline.value for seed, scores in noisy.items()} == {0: 60.0, 1: 61.0, 2: 62.0}
    assert without.headline.value == 61.0
    seed = tmp_path / "m--noise-seed1" / "pope"
    assert noisy_runs(seed, read_record(RunRecord, seed / "run.json")) == (noisy, without)


def test_every_number_has_its_mean_and_spread(plain):
    run = read_record(RunRecord, plain / "run.json")
    spreads = spreads_of(run, *noisy_runs(plain, run))
    assert spreads.seeds == [0, 1, 2]
    assert spreads.numbers.keys() == {"headline", "categories.random.f1"}  # what only one of them has is left out
    found = spreads.numbers["headline"]
    assert (found.mean, found.deviation, found.low, found.high) == (61.0, 1.0, 60.0, 62.0)
    assert spread_line(spreads) == (
        "score 61.00 ± 1.00 (mean and standard deviation over 3 seeds of the routing noise, from 60.00 to 62.00; without "
        "noise 61.00)"
    )


def test_the_spread_of_finished_runs_is_written_beside_the_run_without_noise(tmp_path):
    model = TRAINED_MODEL.name
    task = find_task("pope")
    plans = [Plan(model, task, "llava", "mini", tmp_path, router_noise_seed=seed) for seed in range(3)]
    for plan, value in zip(plans[:2], (60.0, 62.0), strict=True):  # the third is not finished
        write_run(plan.folder, "pope", value, model=replace(TRAINED_MODEL, router_noise_seed=plan.router_noise_seed))
    ((path, spreads),) = write_spreads([replace(plans[0], router_noise_seed=None), *plans])
    assert path == tmp_path / model / "pope" / "spread.json"
    assert read_record(SpreadsRecord, path) == spreads
    assert (spreads.numbers["headline"].mean, spreads.without_noise) == (61.0, None)
