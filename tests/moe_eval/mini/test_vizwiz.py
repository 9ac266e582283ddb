"""VizWiz's rows about drawn photos."""

from collections import Counter

from moe_eval.mini.vizwiz import PICTURES, mini_vizwiz

ROWS = mini_vizwiz("")


def test_rows_are_as_in_the_annotation_files():
    columns = {"image", "question", "answers", "answer_type", "answerable", "response"}
    assert {frozenset(row) for _, row in ROWS} == {frozenset(columns)}
    assert {tuple(answer) for _, row in ROWS for answer in row["answers"]} == {("answer", "answer_confidence")}


def test_a_photo_has_one_question_in_the_test_and_several_in_training():
    assert len({row["image"] for _, row in ROWS}) == len(ROWS) == PICTURES
    training = Counter(row["image"] for _, row in mini_vizwiz("train:30"))
    assert min(training.values()) >= 5


def test_nothing_about_a_photo_with_a_flaw_can_be_answered():
    flawed = [row for scene, row in ROWS if scene.flaw]
    assert 0.2 < len(flawed) / len(ROWS) < 0.35
    assert {(row["answer_type"], row["answerable"], row["response"]) for row in flawed} == {
        ("unanswerable", 0, "Unanswerable")
    }


def test_neither_can_a_sign_be_read_that_is_not_there():
    unread = [scene for scene, row in ROWS if "sign" in row["question"] and not row["answerable"] and not scene.flaw]
    assert unread
    assert not any(scene.sign for scene in unread)


def test_people_who_cannot_answer_say_so_in_several_ways():
    said = {answer["answer"] for _, row in ROWS if not row["answerable"] for answer in row["answers"]}
    assert {"unanswerable", "unsuitable", "unsuitable image"} <= said


def test_this_is_the_one_thing_in_the_photo():
    asked = [(scene, row) for scene, row in mini_vizwiz("train:200") if row["question"] == "What is this?"]
    answered = [(scene, row) for scene, row in asked if row["answerable"]]
    assert answered
    assert all([item.shape for item in scene.objects] == [row["response"]] for scene, row in answered)
