"""How runs stand against the best on the same questions."""

import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.comparison.standings import ALPHA, Standing, standings
from moe_eval.runs.stored_run import StoredRun
from tests.moe_eval.comparison.runs import make_run
from tests.run_folders import write_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs that are right everywhere, on all but one question, and where the answer is yes; and one on fewer."""
    out = tmp_path_factory.mktemp("runs")
    make_run(out / "good")
    make_run(out / "nearly", lambda number, sample: number == 0)
    make_run(out / "yes", lambda number, sample: sample.gold == "no")
    make_run(out / "few", data=TASK.load("mini").first(36))
    return {path.name: StoredRun.read(path / "pope") for path in out.iterdir()}


def test_the_best_and_what_differs_from_it_by_more_than_chance(runs):
    (found,) = standings([[runs["yes"], runs["good"], runs["nearly"]]])
    assert [one.verdict for one in found] == ["worse", "best", "level"]
    assert found[0].p_value < ALPHA <= found[2].p_value


def test_all_comparisons_of_all_sets_share_one_correction(runs):
    (alone,) = standings([[runs["good"], runs["yes"]]])
    several = standings([[runs["good"], runs["yes"]]] * 4)
    assert several[0][1].p_value == pytest.approx(4 * alone[1].p_value)


def test_runs_on_other_questions_are_not_compared(runs):
    (found,) = standings([[runs["good"], runs["few"]]])
    assert [one.verdict for one in found] == ["", ""]
    assert any(one.why_not.startswith("data: mini") for one in found)


def test_a_run_alone_and_one_without_a_number_have_no_standing(runs, tmp_path):
    pending = StoredRun.read(write_run(tmp_path / "run", "vizwiz", None))
    assert standings([[runs["good"]], [pending, pending]]) == [[Standing()], [Standing(), Standing()]]
