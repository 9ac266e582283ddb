"""Grades by rule, on MM-Vet's scale."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_eval.mini.grader import grade_by_parts
from moe_eval.mini.world import COLOURS, SHAPES, WORDS


@pytest.mark.parametrize(
    ("question", "reference", "answer", "grade"),
    [
        ("What color is the star?", "red", "red", 1.0),
        ("What color is the star?", "red", "The star is Red.", 1.0),
        ("What color is the star?", "red", "It is blue.", 0.0),
        ("What color is the star?", "red", "", 0.0),
        ("What color is the star?", "red", "It is reddish.", 0.0),
        ("What color is the star?", "red", "It is red or blue.", 0.5),
        ("What is above the star?", "red<AND>ring", "A red ring is above the star.", 1.0),
        ("What is above the star?", "red<AND>ring", "A large red ring.", 1.0),
        ("What is above the star?", "red<AND>ring", "A blue ring.", 0.5),
        ("What is above the star?", "red<AND>ring", "A red ring or a blue heart.", 0.5),
        ("What is there?", "red star<AND>blue ring", "There is a blue ring.", 0.5),
        ("What is there?", "red star<AND>blue ring", "A blue star and a red ring.", 0.0),
        ("What is there?", "red star<AND>red ring<AND>pink heart", "A red star.", 0.3),
        ("How many?", "two<OR>2", "There are two.", 1.0),
        ("How many?", "two<OR>2", "2", 1.0),
        ("How many?", "two<OR>2", "There are 2 or 3.", 0.5),
        ("How many?", "one<OR>1<AND>cross", "One of the crosses", 1.0),
        ("What does the sign say?", "red", "The sign says red.", 1.0),
        ("Where is it?", "middle<OR>center", "In the center.", 1.0),
        ("Describe it.", "night<AND>red star", "This was taken at night. There is a red star.", 1.0),
    ],
)
def test_the_grade_is_the_share_of_the_reference_that_is_said(question, reference, answer, grade):
    assert grade_by_parts(question, reference, answer) == grade


def test_to_say_everything_is_worth_next_to_nothing():
    for everything in (COLOURS, SHAPES, WORDS):
        assert grade_by_parts("What?", everything[0], " ".join(everything)) <= 0.1


@given(st.text(), st.text(), st.text())
def test_any_text_gets_a_grade_in_tenths(question, reference, answer):
    grade = grade_by_parts(question, reference, answer)
    assert 0 <= grade <= 1
    assert grade == round(grade, 1)


@given(st.sampled_from(COLOURS), st.sampled_from(SHAPES), st.sampled_from(["", "A ", "I think it is a "]))
def test_what_is_said_around_the_answer_does_not_matter(colour, shape, before):
    assert grade_by_parts("What is it?", f"{colour}<AND>{shape}", f"{before}{colour} {shape}.") == 1
