"""The layout `ablation`: which runs belong together, what differs, and by how much."""

from dataclasses import replace

import pytest

from moe_eval.engine.backend import Parameters
from moe_eval.errors import UserError
from moe_eval.runs.records import GenerationRecord
from moe_eval.table.ablation import ablation_table
from tests.run_folders import OTHER_DATA, TRAINED_MODEL, write_run

SPARSE = replace(TRAINED_MODEL, name="moe", llm="Phi")
DENSE = replace(SPARSE, name="dense", parameters=Parameters(1000, 1000, 900, 900), weights_fingerprint="sha256:1")
GREY = GenerationRecord(max_new_tokens=16, pad_images=True, ablation="image=grey")


def texts(grid):
    return [[cell.text for cell in row] for row in grid.rows]


def test_rows_say_what_differs_from_the_plain_sparse_model(tmp_path):
    folders = [
        write_run(tmp_path / "grey", "gqa", 40.0, model=SPARSE, generation=GREY),
        write_run(tmp_path / "dense", "gqa", 59.5, model=DENSE),
        write_run(tmp_path / "plain", "gqa", 61.0, model=SPARSE),
        write_run(tmp_path / "bf16", "gqa", 61.25, model=replace(SPARSE, dtype="bfloat16")),
    ]
    assert texts(ablation_table(folders)) == [
        ["moe", "nothing: the model as it is", "61.00"],
        ["moe", "dtype bfloat16", "61.25 (+0.25)"],
        ["dense", "dense twin", "59.50 (-1.50)"],
        ["moe", "image=grey", "40.00 (-21.00)"],
    ]


def test_seeds_of_the_router_noise_are_summed_up(tmp_path):
    folders = [write_run(tmp_path / "plain", "gqa", 61.0, model=SPARSE)]
    for seed, value in enumerate((61.42, 61.32, 61.22)):
        folders.append(write_run(tmp_path / f"{seed}", "gqa", value, model=replace(SPARSE, router_noise_seed=seed)))
    rows = texts(ablation_table(folders))
    assert rows[1] == ["moe", "router noise, seed 0", "61.42 (+0.42)"]
    assert rows[-1] == ["moe", "router noise, 3 seeds: mean ± standard deviation", "61.32 ± 0.10"]


def test_tasks_of_one_setting_are_one_row(tmp_path):
    folders = [
        write_run(tmp_path / f"{name}-{task}", task, value, model=model)
        for name, model, value in (("s", SPARSE, 60.0), ("d", DENSE, 50.0))
        for task in ("gqa", "pope")
    ]
    assert texts(ablation_table(folders)) == [
        ["moe", "nothing: the model as it is", "60.00", "60.00"],
        ["dense", "dense twin", "50.00 (-10.00)", "50.00 (-10.00)"],
    ]


def test_other_questions_are_not_compared(tmp_path):
    folders = [
        write_run(tmp_path / "a", "gqa", 60.0, model=SPARSE),
        write_run(tmp_path / "b", "gqa", 50.0, model=DENSE, data=OTHER_DATA),
    ]
    cell = ablation_table(folders).rows[1][2]
    assert (cell.text, cell.notes) == ("50.00", ("GQA: not the questions of the first row: not compared",))


def test_two_changes_at_once_are_told(tmp_path):
    folders = [
        write_run(tmp_path / "a", "gqa", 60.0, model=SPARSE),
        write_run(tmp_path / "b", "gqa", 30.0, model=DENSE, generation=GREY),
    ]
    assert ablation_table(folders).rows[1][1].notes == ("differs in more than one setting",)


def test_models_without_a_second_setting_make_no_table(tmp_path):
    folder = write_run(tmp_path / "a", "gqa", 60.0, model=SPARSE)
    with pytest.raises(UserError, match="no two of these runs"):
        ablation_table([folder])
