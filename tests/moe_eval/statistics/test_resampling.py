"""Resampled numbers: known standard errors, coverage, and what is left out."""

import random
from collections.abc import Sequence
from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_eval.metrics.means import percent
from moe_eval.metrics.totals import RunOnce, of_totals
from moe_eval.registry import find_task
from moe_eval.statistics.draws import resample_scores
from moe_eval.statistics.intervals import detectable, intervals_of, percentile_interval
from moe_eval.statistics.resampling import draw_weights, number_clusters, record_totals
from moe_eval.task import Result, SampleScore


@of_totals
def accuracy(scores) -> Result:
    return Result(percent(scores, "correct"), {})


def plain_accuracy(scores: Sequence[SampleScore]) -> Result:
    """The same, as somebody writes it who knows nothing of totals."""
    return Result(100 * sum(score["correct"] for score in scores) / len(scores), {})


def plain_median(scores: Sequence[SampleScore]) -> Result:
    """Something that is not a mean."""
    return Result(float(sorted(score["correct"] for score in scores)[len(scores) // 2]), {})


def answers(clusters: int, seed: int = 0, members: int = 4, share: float = 0.7, agreement: float = 0.5) -> list[dict]:
    """Answers that are right with a probability of `share`, and about one picture alike with one of `agreement`."""
    chance = random.Random(seed)
    rows = []
    for group in range(clusters):
        usual = chance.random() < share
        for _ in range(members):
            correct = usual if chance.random() < agreement else chance.random() < share
            rows.append({"group": str(group), "correct": int(correct)})
    return rows


def miller(rows: list[dict]) -> float:
    """The clustered standard error of the mean in percent, written out: Miller 2024, equation 4."""
    mean = sum(row["correct"] for row in rows) / len(rows)
    groups = {row["group"] for row in rows}
    sums = [sum(row["correct"] - mean for row in rows if row["group"] == group) for group in groups]
    return 100 * sqrt(sum(value**2 for value in sums)) / len(rows)


def interval(rows: list[dict], aggregate=accuracy, path: str = "headline"):
    return intervals_of(rows, aggregate)[0][path]


def test_linearised_error_of_a_mean_is_the_clustered_one_of_the_textbook():
    rows = answers(60)
    assert interval(rows).analytic_standard_error == pytest.approx(miller(rows), rel=1e-6)


def test_bootstrap_and_linearisation_agree_on_a_mean():
    found = interval(answers(200))
    assert found.standard_error == pytest.approx(found.analytic_standard_error, rel=0.03)


def test_questions_about_one_picture_that_go_together_widen_the_interval():
    independent, alike = answers(200, agreement=0.0), answers(200, agreement=1.0)
    assert interval(alike).standard_error > 1.6 * interval(independent).standard_error


def test_single_questions_have_the_binomial_error():
    rows = [{"group": str(n), "correct": int(n < 64)} for n in range(100)]
    found = interval(rows)
    assert found.analytic_standard_error == pytest.approx(100 * sqrt(0.64 * 0.36 / 100), rel=1e-6)
    assert found.standard_error == pytest.approx(4.8, rel=0.03)
    assert (found.low, found.high) == pytest.approx((64 - 9.4, 64 + 9.4), abs=1.1)


def test_the_mean_of_three_f1_scores_is_resampled_as_a_whole():
    """The categories share pictures and "yes" questions, so the mean varies more than three independent ones would."""
    rows, task = pope_answers(), find_task("pope").protocol("llava")
    found, _ = intervals_of(rows, task.aggregate)
    errors = [found[f"categories.{name}.f1"].standard_error for name in ("random", "popular", "adversarial")]
    headline = found["headline"]
    assert headline.standard_error > 1.3 * sqrt(sum(error**2 for error in errors)) / 3
    assert headline.standard_error == pytest.approx(headline.analytic_standard_error, rel=0.05)


def pope_answers() -> list[dict]:
    chance = random.Random(2)
    rows = []
    for picture in range(120):
        present = ["yes" if chance.random() < 0.8 else "no" for _ in range(3)]
        for category in ("random", "popular", "adversarial"):
            absent = ["yes" if chance.random() < 0.15 else "no" for _ in range(3)]
            for gold, predictions in (("yes", present), ("no", absent)):
                rows += [
                    {
                        "group": f"{picture}.jpg",
                        "category": category,
                        "gold": gold,
                        "prediction": prediction,
                        "correct": int(gold == prediction),
                    }
                    for prediction in predictions
                ]
    return rows


def test_mme_pairs_are_drawn_together():
    """acc+ counts pictures: with every picture right or wrong as a whole, its error is that of the pictures' share."""
    rows = [
        {"group": str(n), "picture": str(n), "category": "count", "correct": int(n < 30), "gold": "yes"}
        for n in range(60)
        for _ in range(2)
    ]
    found, _ = intervals_of(rows, find_task("mme").protocol("llava").aggregate)
    assert found["subtasks.count.acc_plus"].analytic_standard_error == pytest.approx(100 * sqrt(0.25 / 60), rel=1e-6)
    assert found["headline"].analytic_standard_error == pytest.approx(200 * sqrt(0.25 / 60), rel=1e-6)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """300 experiments with a known mean, fewer resamples each: the share lies within three errors of 95 %."""
    covered = 0
    for seed in range(300):
        (found, _) = intervals_of(answers(80, seed=seed), accuracy, resamples=400)
        covered += found["headline"].low <= 70 <= found["headline"].high
    assert covered / 300 == pytest.approx(0.95, abs=3 * sqrt(0.95 * 0.05 / 300))


def test_the_same_seed_gives_the_same_interval():
    rows = answers(30)
    assert intervals_of(rows, accuracy) == intervals_of(rows, accuracy)
    assert interval(rows) != intervals_of(rows, accuracy, seed=1)[0]["headline"]


@given(clusters=st.integers(1, 40), resamples=st.integers(1, 30), seed=st.integers(0, 5))
def test_as_many_clusters_are_drawn_as_there_are(clusters, resamples, seed):
    weights = np.concatenate(list(draw_weights(clusters, resamples, seed)))
    assert weights.shape == (resamples, clusters)
    assert (weights.sum(axis=1) == clusters).all()


def test_counts_have_no_interval():
    found, _ = intervals_of(pope_answers(), find_task("pope").protocol("llava").aggregate)
    assert not [path for path in found if path.endswith((".tp", ".samples"))]


@pytest.mark.parametrize(
    "rows", [[], [{"group": "1", "correct": 1}, {"group": "1", "correct": 0}]], ids=["nothing", "one picture"]
)
def test_what_the_data_cannot_tell_has_no_interval(rows):
    assert intervals_of(rows, accuracy) == ({}, None)


@pytest.mark.parametrize("correct", [0, 1])
def test_none_or_all_right_has_wilsons_interval(correct):
    """Ten questions, t of nine degrees of freedom: t² / (n + t²) is 33.85 %; every group counts as one question."""
    rows = [{"group": str(n), "correct": correct} for n in range(10) for _ in range(3)]
    found = interval(rows)
    share = 100 * 2.262157**2 / (10 + 2.262157**2)
    assert (found.low, found.high) == pytest.approx((0, share) if not correct else (100 - share, 100), abs=1e-3)
    assert (found.standard_error, found.minimum_detectable_difference, found.kind) == (0, None, "score")


def test_a_number_without_a_maximum_that_never_varies_has_no_interval():
    rows = [{"group": str(n), "correct": 1} for n in range(10)]
    assert intervals_of(rows, accuracy, lambda path: inf) == ({}, None)


def test_few_groups_widen_the_interval_of_a_number_without_a_maximum():
    """By √(C / (C − 1)) and t over z, on top of the percentiles; groups of one size."""
    rows = [{"group": str(n), "correct": n % 2} for n in range(10)]
    found = intervals_of(rows, accuracy, lambda path: inf)[0]["headline"]
    values = resample_scores(accuracy, rows, [row["group"] for row in rows]).draws["headline"]
    low, high, _ = percentile_interval(values)
    factor = sqrt(10 / 9) * 2.262157 / 1.959964
    assert (found.low, found.high) == pytest.approx((50 - factor * (50 - low), 50 + factor * (high - 50)))
    assert found.kind == "bootstrap"


def test_a_number_that_few_resamples_define_has_no_interval():
    @of_totals
    def rare(scores) -> Result:
        return Result(percent(scores.where(lambda row: row["group"] == "0"), "correct"), {})

    rows = [{"group": str(n), "correct": n % 2} for n in range(50)]
    assert "headline" not in intervals_of(rows, rare)[0]


def test_a_choice_that_depends_on_a_total_fails_loudly():
    @of_totals
    def careless(scores) -> Result:
        right = scores.total("correct")
        return Result(float(right) if right else 0.0, {})

    recording = record_totals(careless, rows := answers(5), number_clusters([row["group"] for row in rows]))
    with pytest.raises(ValueError, match="truth value"):
        recording.numbers(np.ones((2, 1)))


def test_detectable_difference_of_the_paper():
    """1.96 + 0.84 standard errors of the difference, Miller 2024, section 5."""
    assert detectable(1.0) == pytest.approx(2.8016, abs=1e-4)


# --- aggregates that are not written in totals --------------------------------------------------------------------


def test_a_plain_function_is_run_on_fewer_resamples():
    rows = answers(100)
    found, method = intervals_of(rows, plain_accuracy)
    assert (method.method, method.resamples) == ("clustered bootstrap of a plain function", 1000)
    assert found["headline"].analytic_standard_error == pytest.approx(miller(rows), rel=1e-6)
    assert found["headline"].standard_error == pytest.approx(miller(rows), rel=0.1)


def test_a_plain_function_that_is_no_mean_has_no_analytic_error():
    rows = [{"group": str(n), "correct": n / 100} for n in range(100)]
    assert interval(rows, plain_median).analytic_standard_error is None


def test_a_plain_mean_that_takes_too_long_is_resampled_as_a_mean(monkeypatch):
    monkeypatch.setattr("moe_eval.statistics.draws.PLAIN_SECONDS", 0.0)
    _, method = intervals_of(answers(50), plain_accuracy)
    assert (method.method, method.resamples) == ("clustered bootstrap of the mean", 10_000)


def test_a_function_that_is_to_run_once_is_resampled_as_a_mean():
    calls = []
    aggregate = RunOnce(lambda scores: calls.append(1) or plain_accuracy(scores))
    _, method = intervals_of(answers(50), aggregate)
    assert method.method == "clustered bootstrap of the mean"
    assert len(calls) == 1


def test_a_plain_function_that_fails_on_resampled_scores_has_no_intervals():
    rows = [{"group": str(n), "correct": n / 100} for n in range(100)]

    def picky(scores: Sequence[SampleScore]) -> Result:
        if len({score["group"] for score in scores}) < len(scores):
            raise ValueError("a repeated group")
        return Result(1.0, {})

    assert resample_scores(picky, rows, [row["group"] for row in rows]) is None
