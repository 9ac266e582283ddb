"""VQAv2's rows about drawn scenes."""

from collections import Counter

import pytest

from moe_eval.mini.vqav2 import PICTURES, mini_vqav2, question_type

ROWS = mini_vqav2("")


def test_rows_are_as_on_the_hub():
    columns = {
        "question_id",
        "image_id",
        "question",
        "question_type",
        "answer_type",
        "multiple_choice_answer",
        "answers",
    }
    assert {frozenset(row) for _, row in ROWS} == {frozenset(columns)}
    assert {tuple(answer) for _, row in ROWS for answer in row["answers"]} == {
        ("answer", "answer_confidence", "answer_id")
    }
    assert {tuple(answer["answer_id"] for answer in row["answers"]) for _, row in ROWS} == {tuple(range(1, 11))}


def test_each_picture_has_at_least_ten_questions():
    counts = Counter(row["image_id"] for _, row in ROWS)
    assert len(counts) == PICTURES
    assert min(counts.values()) >= 10


def test_answer_types_are_mixed_as_in_the_original():
    counts = Counter(row["answer_type"] for _, row in ROWS)
    shares = {kind: number / counts.total() for kind, number in counts.items()}
    assert set(shares) == {"yes/no", "number", "other"}
    assert 0.35 < shares["yes/no"] < 0.5
    assert 0.1 < shares["number"] < 0.2


def test_every_question_is_of_one_of_the_known_types():
    assert "none of the above" not in {row["question_type"] for _, row in ROWS}


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Is there a sign?", "is there a"),
        ("Is there an orange star?", "is there"),
        ("What color is the star?", "what color is the"),
        ("Whatever is this?", "none of the above"),
    ],
)
def test_the_longest_type_that_a_question_begins_with_is_its_type(question, kind):
    assert question_type(question) == kind
