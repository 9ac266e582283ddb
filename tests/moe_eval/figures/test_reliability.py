"""The bins of the reliability diagram are those of the error that is printed with it."""

import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.figures.catalogue import make_drawings
from moe_eval.figures.reliability import reliability_bins
from moe_eval.runs.plan import run_folder
from tests.asking import run_task
from tests.fake_backend import FakeBackend


def test_a_run_of_likelihoods_has_one(tmp_path):
    """Always yes with 90 %, where half of the right answers are: the error is 40 %."""
    folder = run_folder(tmp_path, "fake", "pope", "likelihood")
    run_task(TASK, "likelihood", TASK.load("mini").first(36), FakeBackend(), folder)
    (drawing,) = make_drawings([folder], ["reliability"])
    assert drawing.title == "Reliability of yes: fake, POPE (mini), expected calibration error 40.0 %"
    assert sum(row.answers for row in drawing.rows) == 36
    (filled,) = [row for row in drawing.rows if row.answers]
    assert (filled.probability, filled.share) == pytest.approx((0.9, 0.5))


def test_every_answer_is_in_one_bin():
    samples = [{"p_yes": place / 10, "gold": "yes" if place > 4 else "no"} for place in range(11)]
    rows = reliability_bins(samples)
    assert [row.answers for row in rows] == [1] * 9 + [2]
    assert rows[9].probability == pytest.approx(0.95)
    assert [row.share for row in rows] == [0] * 5 + [1] * 5
