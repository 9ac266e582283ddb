"""Runs whose answers are not greedy: several drawn ones to each question, or measured ones."""

import random
from math import log
from pathlib import Path

import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.errors import UserError
from moe_eval.runs.journal import read_responses
from moe_eval.runs.plan import Plan, Sampling
from moe_eval.runs.records import RunRecord, ScoresRecord, read_record
from moe_eval.scoring.rescore import rescore
from moe_eval.scoring.score import score_answers
from tests.asking import run_task
from tests.fake_backend import FakeBackend, KilledError

DATA = TASK.load("mini").first(36)


@pytest.fixture(autouse=True)
def _quick_environment(monkeypatch):
    monkeypatch.setattr("moe_eval.runs.environment.git_commit", lambda: "0" * 40)
    monkeypatch.setattr("moe_eval.runs.environment.hardware", dict)


def run(folder: Path, backend: FakeBackend, **options) -> ScoresRecord:
    return run_task(TASK, "llava", DATA, backend, folder, **options)


def test_drawn_answers_are_each_asked_and_scored_as_their_mean(tmp_path):
    """The first of three answers to every question is yes, the others no: F1 is 66.7 of one, and 0 of two."""
    backend = FakeBackend(lambda request: "Yes" if request.id.endswith("#1") else "No")
    scores = run(tmp_path, backend, sampling=Sampling(0.7, samples=3, seed=5))
    assert len(backend.asked) == len(set(backend.asked)) == 3 * 36
    assert scores.headline.value == pytest.approx(200 / 9)
    assert scores.metrics["categories"]["random"]["yes_ratio"] == pytest.approx(100 / 3)
    assert [entry["sample"] for entry in scores.samples[:4]] == [1, 2, 3, 1]
    generation = read_record(RunRecord, tmp_path / "run.json").generation
    assert (generation.do_sample, generation.temperature, generation.samples, generation.seed) == (True, 0.7, 3, 5)


def test_drawn_answers_are_gone_on_with(tmp_path):
    with pytest.raises(KilledError):
        run(tmp_path, FakeBackend(dies_after=50), sampling=Sampling(0.7, samples=3))
    backend = FakeBackend()
    run(tmp_path, backend, sampling=Sampling(0.7, samples=3))
    assert len(backend.asked) == 3 * 36 - 50


def test_measured_answers_are_gone_on_with_and_keep_their_probabilities(tmp_path):
    with pytest.raises(KilledError):
        run_task(TASK, "likelihood", DATA, FakeBackend(dies_after=20), tmp_path)
    backend = FakeBackend()
    scores = run_task(TASK, "likelihood", DATA, backend, tmp_path)
    assert len(backend.asked) == 16
    assert {response.log_probabilities["Yes"] for response in read_responses(tmp_path / "responses.jsonl")} == {
        log(0.9)
    }
    assert scores.metrics["ece"] == pytest.approx(40)
    assert rescore(tmp_path).scores["likelihood"] == scores


def test_text_has_no_probabilities_to_score(tmp_path):
    answers = {sample.id: "Yes" for sample in DATA.samples}
    with pytest.raises(
        UserError, match="pope: protocol likelihood needs the log-probabilities of Yes, No for question"
    ):
        score_answers(TASK, "likelihood", DATA, answers)


def test_the_interval_holds_the_variance_over_answers(tmp_path):
    """Answers at random: four to each question halve it."""

    def width(samples: int) -> float:
        backend = FakeBackend(lambda request: random.Random(request.id).choice(["Yes", "No"]))
        folder, data = tmp_path / str(samples), TASK.load("mini")
        scores = run_task(TASK, "llava", data, backend, folder, sampling=Sampling(1.0, samples))
        interval = scores.intervals["categories.random.accuracy"]
        return interval.high - interval.low

    assert width(4) / width(1) == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("value", ['"Yes"', '{"Yes": "likely"}', "[1]"])
def test_odd_probabilities_in_a_journal_are_named(tmp_path, value):
    line = '{"id": "1", "response": "Yes", "tokens": 0, "finish_reason": "stop", "log_probabilities": %s}\n'
    (tmp_path / "responses.jsonl").write_text(line % value)
    with pytest.raises(UserError, match=r"responses\.jsonl line 1: not an answer of ours: .*log_probabilities"):
        read_responses(tmp_path / "responses.jsonl")


def test_drawn_answers_are_scored_nowhere_else(tmp_path):
    run(tmp_path, FakeBackend(), sampling=Sampling(0.7, samples=2))
    assert "2 answers to each question were drawn" in rescore(tmp_path).why_not


def test_measured_answers_are_not_drawn():
    with pytest.raises(UserError, match="protocol likelihood draws no answers"):
        Plan("m", TASK, "likelihood", "mini", sampling=Sampling(1.0))
