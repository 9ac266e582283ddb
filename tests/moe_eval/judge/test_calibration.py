"""A judge beside the original one, in numbers."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_eval.judge.calibration import calibrate

RELEASED = Path(__file__).parents[2] / "data" / "llava15_13b" / "mmvet_grades_13b.jsonl.gz"
TENTHS = st.integers(0, 10).map(lambda tenths: tenths / 10)
GRADES = st.dictionaries(st.sampled_from("abcdef"), st.lists(TENTHS, min_size=1, max_size=3), min_size=1)


def released() -> dict[str, list[float]]:
    rows = map(json.loads, gzip.decompress(RELEASED.read_bytes()).splitlines())
    return {row["question_id"]: row["grades"] for row in rows}


def test_the_original_agrees_with_itself():
    result = calibrate(released(), released())
    assert result.original == result.judged == pytest.approx(36.3, abs=0.05)
    assert (result.offset, result.low, result.high, result.differs) == (0.0, 0.0, 0.0, False)
    assert 90 < result.original_exact < result.exact < 100  # the latter counts a run against itself, too


def test_one_run_against_another_shows_no_offset():
    runs = released()
    result = calibrate({n: g[:1] for n, g in runs.items()}, {n: g[1:2] for n, g in runs.items()})
    assert result.offset == pytest.approx(result.judged - result.original)
    assert result.low < 0 < result.high
    assert not result.differs
    assert result.original_exact is None


def test_a_judge_a_tenth_lower_is_ten_points_lower():
    result = calibrate({"a": [1.0], "b": [0.9], "c": [0.3]}, {"a": [0.9], "b": [0.8], "c": [0.2]})
    assert result.offset == result.low == result.high == pytest.approx(-10)
    assert (result.exact, result.within_tenth, result.differs) == (0.0, 100.0, True)


def test_interval_is_that_of_the_mean_over_answers():
    generator = np.random.default_rng(1)
    original = {str(n): [float(generator.integers(0, 11) / 10)] for n in range(218)}
    judged = {name: [float(generator.integers(0, 11) / 10)] for name in original}
    result = calibrate(original, judged)
    differences = [100 * (judged[name][0] - original[name][0]) for name in original]
    half = 1.96 * np.std(differences) / np.sqrt(len(differences))
    assert result.high - result.low == pytest.approx(2 * half, rel=0.05)
    assert calibrate(original, judged) == result  # seeded


def test_few_answers_make_the_interval_as_much_wider_as_t_is():
    """Of four answers, t with three degrees of freedom and the error with n − 1: (3.18 / 1.96) · √(4/3) times as wide."""
    grades = {"a": 0.0, "b": 0.2, "c": 0.6, "d": 0.4}
    result = calibrate({name: [0.0] for name in grades}, {name: [grade] for name, grade in grades.items()})
    drawn = np.random.default_rng(0).integers(0, 4, (10_000, 4))
    low, high = np.quantile(100 * np.array(list(grades.values()))[drawn].mean(axis=1), [0.025, 0.975])
    assert (result.high - result.low) / (high - low) == pytest.approx(3.1824 / 1.96 * np.sqrt(4 / 3), rel=1e-3)


def test_only_answers_that_both_graded_count():
    assert calibrate({"a": [1.0], "b": [0.0]}, {"a": [1.0], "c": [0.0]}).answers == 1
    with pytest.raises(ValueError, match="no answer is graded by both"):
        calibrate({"a": [1.0]}, {"b": [1.0]})


@given(original=GRADES, judged=GRADES)
def test_numbers_are_in_range_and_exchange_turns_the_sign(original, judged):
    if original.keys() & judged.keys():
        result, other = calibrate(original, judged), calibrate(judged, original)
        assert 0 <= result.exact <= result.within_tenth <= 100
        assert result.low - 1e-9 <= result.high
        assert result.offset == pytest.approx(-other.offset)
        assert result.exact == pytest.approx(other.exact)
