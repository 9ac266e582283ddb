"""Several models over tasks: order, ranks that are possible, one correction, and what is refused."""

import json

import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.cli import main
from moe_eval.comparison.ranking import rank_models, weights_of
from moe_eval.errors import UserError
from moe_eval.figures.critical_difference import level_sets
from moe_eval.runs.stored_run import find_stored_runs
from tests.moe_eval.comparison.runs import make_run


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Right everywhere, on all but one question, and where the answer is yes; and one on fewer questions."""
    out = tmp_path_factory.mktemp("runs")
    return {
        "good": make_run(out / "good", model="good"),
        "nearly": make_run(out / "nearly", lambda number, sample: number == 0, model="nearly"),
        "yes": make_run(out / "yes", lambda number, sample: sample.gold == "no", model="yes"),
        "few": make_run(out / "few", data=TASK.load("mini").first(36), model="few"),
    }


def models(folders, *names):
    return {name: find_stored_runs(folders[name]) for name in names}


def test_the_best_comes_first_and_ranks_are_as_sure_as_the_data(folders):
    ranking = rank_models(models(folders, "yes", "nearly", "good"))
    assert [one.model for one in ranking.models] == ["good", "nearly", "yes"]
    assert [(one.best, one.worst) for one in ranking.models] == [(1, 2), (1, 2), (3, 3)]


def test_all_pairs_tasks_and_averages_share_one_correction(folders):
    two = rank_models(models(folders, "good", "yes"))
    three = rank_models(models(folders, "good", "yes", "nearly"))
    assert (two.tests, three.tests) == (2, 6)
    of = {(pair.first, pair.second): pair for pair in three.pairs}
    raw = of["good", "yes"].tasks["pope"].test.p_value
    assert of["good", "yes"].adjusted["pope"] > raw


def test_a_better_model_has_a_positive_difference(folders):
    (pair,) = rank_models(models(folders, "good", "yes")).pairs
    assert (pair.first, pair.second) == ("good", "yes")
    assert pair.difference > 0
    assert pair.difference == pytest.approx(-pair.tasks["pope"].difference.value)


def test_weights_add_up_to_one_and_tasks_left_out_weigh_one():
    assert weights_of("pope=2", ["pope", "gqa"]) == {"pope": pytest.approx(2 / 3), "gqa": pytest.approx(1 / 3)}


@pytest.mark.parametrize("text", ["pope", "pope=x", "pope=-1", "pope=nan", "pope=0,gqa=0", "mme=1", "pope=1,pope=2"])
def test_other_weights_are_refused(text):
    with pytest.raises(UserError, match="--weights"):
        weights_of(text, ["pope", "gqa"])


def test_runs_on_other_questions_are_refused(folders):
    with pytest.raises(UserError, match="pope: good and few cannot be ranked together"):
        rank_models(models(folders, "good", "few"))


def test_one_model_is_no_ranking(folders):
    with pytest.raises(UserError, match="two models or more"):
        rank_models(models(folders, "good"))


def test_a_bar_spans_models_of_which_no_two_are_told_apart():
    order = ["a", "b", "c", "d"]
    assert level_sets(order, {("a", "c"), ("a", "d")}) == [("a", "b"), ("b", "d")]
    assert level_sets(order, {(x, y) for x in order for y in order}) == []


def test_the_command_prints_weights_and_draws_the_figure(folders, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["rank", str(folders["good"]), str(folders["yes"]), "--figure", str(tmp_path / "ranks.svg")])
    printed = capsys.readouterr().out
    assert stopped.value.code == 0
    assert "weighed pope 1" in printed
    assert (tmp_path / "ranks.svg").read_bytes().startswith(b"<?xml")


def test_the_command_gives_json(folders, capsys):
    with pytest.raises(SystemExit):
        main(["rank", str(folders["good"]), str(folders["nearly"]), "--json"])
    assert [one["ranks"] for one in json.loads(capsys.readouterr().out)["models"]] == [[1, 2], [1, 2]]
