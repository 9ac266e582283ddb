"""Normalising short answers: the same as the original steps taken one by one, on any text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.scoring import plain_clean, plain_m4c, plain_official, plain_punctuation, plain_words
from moe_eval.metrics.answer_text import normalise_m4c, normalise_vlmevalkit, normalise_vqa
from moe_eval.metrics.consensus import consensus, official_vqa_accuracy

PIECES = st.sampled_from(
    [*" \t\n.,;:/-_'\"?!()12３", "a", "The ", "'s", "dont", "none", "Ten", "é", "İ", "\xa0", "1,0"]
)
TEXTS = st.lists(PIECES, max_size=60).map("".join) | st.text()


@settings(max_examples=500)
@given(TEXTS)
def test_normalisation_is_that_of_the_plain_steps(text):
    assert normalise_m4c(text) == plain_m4c(text)
    assert normalise_vqa(text) == plain_words(plain_punctuation(plain_clean(text), r"(\d)(\,)(\d)"))


@given(st.lists(st.sampled_from(["a", "A", " a", "a.", "b", "b,", "T-shirt", "t shirt"]), min_size=11, max_size=11))
def test_accuracy_is_that_of_the_plain_steps(texts):
    prediction, *answers = texts
    assert official_vqa_accuracy(prediction, answers) == pytest.approx(plain_official(prediction, answers), abs=1e-9)


def test_at_most_32_periods_go():
    assert normalise_vqa("a." * 40) == "a" * 33 + ".a" * 7 + "."


def test_vlmevalkit_keeps_periods_beside_digits():
    assert [normalise_vlmevalkit(text) for text in ("3.", "a.m.", "3.5", "x .5")] == ["3.", "am", "3.5", "x .5"]
    assert [normalise_vqa(text) for text in ("3.", "a.m.", "3.5", "x .5")] == ["3", "am", "3.5", "x .5"]


def test_nobody_to_agree_with_is_no_agreement():
    assert consensus(0, 0) == 0.0
