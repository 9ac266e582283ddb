"""What stands on top of the report: models by benchmarks."""

import pytest

from moe_eval.report.labels import letters_of, run_labels
from moe_eval.report.matrix import make_matrix
from moe_eval.report.questions import group_runs
from moe_eval.report.runs import find_run_folders, read_runs
from moe_eval.runs.records import GenerationRecord
from tests.moe_eval.report.conftest import answer_pope
from tests.run_folders import OTHER_DATA, write_run

GREY = GenerationRecord(max_new_tokens=16, pad_images=True, ablation="image=grey")


def matrix(folder):
    runs, _ = read_runs(find_run_folders([folder]))
    return make_matrix(group_runs(runs))


def test_a_cell_per_run_with_its_standing(runs):
    found = matrix(runs)
    assert [column.title for column in found.columns] == ["POPE"]
    cells = {label: cell for label, (cell,) in found.rows}
    assert cells["yes-sayer"].headline.value == pytest.approx(200 / 3)
    assert cells["yes-sayer"].standing.verdict == "best"
    assert cells["rambler"].words.startswith(("worse than the best (p = ", "cannot be told apart"))
    assert (found.compared, found.kinds >= {"best"}) == (1, True)


def test_one_model_is_one_row_and_what_it_was_not_asked_is_empty(runs):
    write_run(runs / "rambler" / "gqa", "gqa", 61.0, model=read_runs([runs / "rambler" / "pope"])[0][0].run.model)
    found = matrix(runs)
    assert [column.title for column in found.columns] == ["GQA", "POPE"]
    rows = dict(found.rows)
    assert rows.keys() == {"rambler", "yes-sayer"}
    assert rows["yes-sayer"][0] is None
    assert rows["rambler"][0].headline.text == "61.00"


def test_a_sum_says_what_it_is_out_of(tmp_path):
    metrics = {"percent_of_maximum": {"perception": 75.0}}
    write_run(tmp_path / "mme", "mme", 900.0, data=OTHER_DATA, metrics=metrics, headline="perception (max 2000)")
    (column,) = matrix(tmp_path).columns
    assert (column.unit, column.about) == ("of 1,200", "perception (max 1200), 4 generated")


def test_an_ablated_run_is_called_so_on_every_benchmark_and_the_plain_one_is_not(tmp_path):
    for task in ("gqa", "pope"):
        write_run(tmp_path / "m" / task, task, 60.0)
        write_run(tmp_path / "m--image=grey" / task, task, 20.0, generation=GREY)
    runs, _ = read_runs(find_run_folders([tmp_path]))
    assert set(run_labels(runs)) == {"fake", "fake (image=grey)"}


def test_the_same_in_two_folders_is_told_apart_by_them(runs, tmp_path):
    answer_pope(tmp_path / "again", "rambler", lambda request: "No")
    found, _ = read_runs(find_run_folders([runs, tmp_path / "again"]))
    labels = run_labels(found)
    assert len(set(labels)) == 3
    assert any(label.endswith("again/rambler)") for label in labels)


def test_letters_stand_for_labels_where_there_are_several():
    assert letters_of(["a", "b", "a"]) == {"a": "A", "b": "B"}
    assert letters_of(["a", "a"]) == {"a": ""}
    assert list(letters_of([str(n) for n in range(28)]).values())[25:] == ["Z", "AA", "AB"]
