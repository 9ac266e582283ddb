"""Two runs on the same questions: difference, interval, and the tests."""

import random
from math import sqrt

import pytest

from moe_eval.metrics.means import percent
from moe_eval.metrics.totals import of_totals
from moe_eval.statistics.paired import MCNEMAR, PERMUTATION, PERMUTATION_OF_MEAN, PairedScores, differences, paired_test
from moe_eval.task import Result


@of_totals
def accuracy(scores) -> Result:
    return Result(percent(scores, "correct"), {})


def plain_accuracy(scores) -> Result:
    return Result(100 * sum(score["correct"] for score in scores) / len(scores), {})


def pair(first: list[float], second: list[float], groups=None, aggregate=accuracy) -> PairedScores:
    rows = ([{"correct": value} for value in values] for values in (first, second))
    return PairedScores(*rows, groups or [str(n) for n in range(len(first))], (aggregate, aggregate))


def noisy(rights: list[int], share: float, seed: int) -> list[int]:
    """The same with a share of the answers thrown anew."""
    chance = random.Random(seed)
    return [chance.randint(0, 1) if chance.random() < share else right for right in rights]


RIGHT = noisy([1] * 400, 0.6, seed=1)


def test_pairing_sees_more_than_two_runs_apart():
    other = noisy(RIGHT, 0.1, seed=2)
    found = differences(pair(RIGHT, other))["headline"]
    apart = 100 * sqrt(2 * 0.7 * 0.3 / 400)
    assert found.standard_error < 0.5 * apart
    assert found.standard_error == pytest.approx(found.analytic_standard_error, rel=0.05)
    assert found.low < found.value < found.high


def test_error_of_a_difference_is_that_of_the_differences():
    other = noisy(RIGHT, 0.2, seed=3)
    changes = [100 * (b - a) for a, b in zip(RIGHT, other, strict=True)]
    mean = sum(changes) / 400
    expected = sqrt(sum((change - mean) ** 2 for change in changes)) / 400
    found = differences(pair(RIGHT, other))["headline"]
    assert found.value == pytest.approx(mean)
    assert found.analytic_standard_error == pytest.approx(expected, rel=1e-6)


def test_equal_runs_do_not_differ():
    same = pair(RIGHT, RIGHT)
    found, test = differences(same)["headline"], paired_test(same)
    assert (found.value, found.low, found.high) == (0, None, None)  # the same in every draw: no interval
    assert (test.won, test.lost, test.p_value) == (0, 0, 1.0)


def test_single_right_or_wrong_questions_take_mcnemar_which_is_the_permutation_test():
    first, second = [1] * 9 + [0] * 3, [0] * 8 + [1] + [1] * 1 + [0] * 2
    test = paired_test(pair(first, second))
    assert (test.won, test.lost, test.tied) == (1, 8, 3)
    assert test.test == MCNEMAR
    assert test.permutation == pytest.approx(test.mcnemar)  # all 2^12 swaps
    assert test.p_value == test.mcnemar


def test_questions_about_one_picture_are_swapped_together():
    """Eight losses, but all about two pictures: McNemar would call that significant, and two pictures are not."""
    first, second, groups = [1] * 12, [0] * 8 + [1] * 4, [str(n // 4) for n in range(12)]
    test = paired_test(pair(first, second, groups))
    assert test.mcnemar == pytest.approx(2 / 2**8)
    assert (test.test, test.p_value) == (PERMUTATION, 0.5)


def test_partial_credit_has_no_mcnemar():
    test = paired_test(pair([0.3, 0.6, 1.0, 0.9], [0.6, 0.6, 0.3, 0.0]))
    assert test.mcnemar is None
    assert (test.won, test.lost, test.tied) == (1, 2, 1)
    assert test.p_value == test.permutation


def test_random_permutations_find_what_all_of_them_find():
    chance = random.Random(4)
    first = [chance.random() for _ in range(13)]
    second = [value + chance.gauss(0.1, 0.2) for value in first]
    exact = paired_test(pair(first, second), permutations=2**13).permutation
    drawn = paired_test(pair(first, second), permutations=2**13 - 1).permutation
    assert drawn == pytest.approx(exact, abs=0.02)


def test_equal_models_are_rarely_told_apart():
    """100 pairs of runs that differ by chance alone: about 5 % are significant at 5 %."""
    significant = 0
    for seed in range(100):
        base = noisy(RIGHT, 1.0, seed)[:120]
        one, other = noisy(base, 0.3, seed + 1000), noisy(base, 0.3, seed + 2000)
        groups = [str(n // 3) for n in range(120)]
        significant += paired_test(pair(one, other, groups), permutations=400).p_value < 0.05
    assert significant <= 11  # of 5 expected, three standard errors


def test_a_plain_aggregate_is_compared_by_what_answers_are_worth():
    test = paired_test(pair(RIGHT, noisy(RIGHT, 0.2, 5), [str(n // 4) for n in range(400)], plain_accuracy))
    found = differences(pair(RIGHT, noisy(RIGHT, 0.2, 5), aggregate=plain_accuracy))["headline"]
    assert test.test == PERMUTATION_OF_MEAN
    assert found.low < found.value < found.high


def test_one_picture_gives_a_difference_without_interval():
    found = differences(pair([1, 0], [1, 1], ["a", "a"]))["headline"]
    assert (found.value, found.low, found.detectable) == (50.0, None, None)


def test_a_difference_that_is_the_same_in_every_draw_has_no_interval():
    """Source: EleutherAI/lm-evaluation-harness #4070: an interval without a width reads as certainty."""
    found = differences(pair([0.0] * 8, [1.0] * 8))["headline"]
    assert (found.value, found.low, found.high, found.detectable) == (100.0, None, None, None)
