"""Drawn answers beside greedy ones, and beside fewer."""

from itertools import permutations
from pathlib import Path

import pytest
from moe_eval.tasks.mme import TASK as MME

from moe_eval.comparison.flips import flips_of
from moe_eval.comparison.pairing import compare_runs
from moe_eval.runs.plan import Sampling
from moe_eval.runs.stored_run import StoredRun
from tests.asking import run_task
from tests.fake_backend import FakeBackend

DATA = MME.load("mini").first(24)
GOLD = {sample.id: str(sample.gold) for sample in DATA.samples}
NUMBERS = {sample.id: number for number, sample in enumerate(DATA.samples)}


def answer(request) -> str:
    """Wrong to every seventh question, and of drawn answers the n-th to every (7 + n)-th."""
    question, _, sample = request.id.partition("#")
    right = NUMBERS[question] % (7 + int(sample or 0))
    return GOLD[question] if right else {"yes": "no", "no": "yes"}[GOLD[question]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[int, StoredRun]:
    """By how many answers are drawn; 0: greedy."""
    out: Path = tmp_path_factory.mktemp("drawn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moe_eval.runs.environment.hardware", dict)
        for count in (0, 2, 3):
            sampling = Sampling(1.0, count) if count else None
            run_task(MME, "llava", DATA, FakeBackend(answer), out / str(count), sampling=sampling)
    return {count: StoredRun.read(out / str(count)) for count in (0, 2, 3)}


@pytest.mark.parametrize("counts", list(permutations((0, 2, 3), 2)))
def test_each_run_keeps_its_own_numbers(runs, counts):
    first, second = (runs[count] for count in counts)
    comparison = compare_runs(first, second)
    own = [stored.scores.headline.value for stored in (first, second)]
    assert [comparison.difference.first, comparison.difference.second] == pytest.approx(own)
    assert comparison.difference.value == pytest.approx(own[1] - own[0]) != 0
    assert comparison.groups == len({sample.group for sample in DATA.samples})


def test_it_says_that_there_are_several_answers(runs):
    (note,) = compare_runs(runs[0], runs[3]).notes
    assert note == "greedy answers → 3 answers drawn at temperature 1, by the mean over the answers to each question"


def test_flips_show_the_answer_that_was_drawn(runs):
    comparison = compare_runs(runs[0], runs[2])
    lost, won, _ = flips_of(comparison, 99)
    assert {flip.answers for flip in (*lost, *won)} == {("yes", "no"), ("no", "yes")}
    assert len(lost) == comparison.test.lost
