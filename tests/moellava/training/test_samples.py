"""Items are checked one by one: what cannot be trained on is counted by kind, what can be put right is."""

import pytest

from moellava.training.samples import Item, Problem, Report, Turn, parse_item
from tests.training_data import item, write_items

ASKED = ("What is it? <image>", "A dog.")


def check(folder, raw, plain: bool = False) -> tuple[Item | None, Report]:
    report = Report()
    return parse_item(raw, write_items(folder, [raw]), 7, plain, report), report


def test_a_good_item_comes_through_without_a_remark(tmp_path):
    parsed, report = check(tmp_path, item("a", *ASKED, image="dog.png"))
    assert parsed is not None
    assert parsed.turns == (Turn("human", ASKED[0]), Turn("gpt", ASKED[1]))
    assert parsed.images == (tmp_path / "images" / "dog.png",)
    assert parsed.words == 6
    assert not report.counts


def with_role(role: str) -> dict:
    raw = item("a", "Hello", "Hi")
    raw["conversations"][1]["from"] = role
    return raw


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("text", Problem.MALFORMED),
        ({"id": "a"}, Problem.MALFORMED),
        ({"id": "a", "conversations": [{"from": "human"}]}, Problem.MALFORMED),
        ({**item("a", "Hello", "Hi"), "image": 3}, Problem.MALFORMED),
        (with_role("robot"), Problem.UNKNOWN_ROLE),
        (with_role("human"), Problem.ROLES),
        (item("a"), Problem.NO_ANSWER),
        (item("a", "Hello"), Problem.NO_ANSWER),
        (item("a", "Hello", ""), Problem.NO_ANSWER),
        (item("a", "Look: <image>", "Yes."), Problem.IMAGE_COUNT),
        (item("a", "Look.", "Yes.", image="dog.png"), Problem.IMAGE_COUNT),
        (item("a", *ASKED, image=["dog.png", "cat.png"]), Problem.IMAGE_COUNT),
        (item("a", *ASKED, image="missing.png"), Problem.MISSING_IMAGE),
    ],
)
def test_what_cannot_be_trained_on_is_left_out_and_counted(tmp_path, raw, problem):
    parsed, report = check(tmp_path, raw)
    assert parsed is None
    assert report.counts == {problem: 1}
    assert report.unusable == 1


def test_the_plain_template_needs_a_picture(tmp_path):
    _, report = check(tmp_path, item("a", "Hello", "Hi"), plain=True)
    assert report.counts == {Problem.IMAGE_COUNT: 1}


def test_a_picture_in_a_caption_is_refused(tmp_path):
    _, report = check(tmp_path, item("a", "<image>", "A <image>.", image="dog.png"), plain=True)
    assert report.counts == {Problem.IMAGE_COUNT: 1}


def test_the_plain_template_takes_one_caption(tmp_path):
    _, report = check(tmp_path, item("a", *ASKED, "Big?", "Yes.", image="dog.png"), plain=True)
    assert report.counts == {Problem.MALFORMED: 1}


def test_a_leading_answer_and_an_open_question_are_dropped(tmp_path):
    raw = item("a", "Hello", "Hi", "And you?")
    raw["conversations"].insert(0, {"from": "gpt", "value": "Welcome."})
    parsed, report = check(tmp_path, raw)
    assert parsed is not None
    assert [turn.value for turn in parsed.turns] == ["Hello", "Hi"]
    assert report.counts == {Problem.LEADING_ANSWER: 1, Problem.OPEN_QUESTION: 1}
    assert report.unusable == 0


def test_an_item_without_id_is_known_by_its_number(tmp_path):
    raw = item("a", "Hello", "Hi")
    del raw["id"]
    parsed, _ = check(tmp_path, raw)
    assert parsed is not None
    assert parsed.id == "items.json: #7"


def test_the_report_shows_the_first_ten_of_each_kind():
    report = Report(items=12)
    for number in range(12):
        report.add(Problem.MISSING_IMAGE, f"items.json: {number}", "dog.png")
    text = str(report)
    assert "12 items, 12 unusable" in text
    assert "error: missing picture: 12" in text
    assert "items.json: 9: dog.png" in text
    assert "items.json: 10" not in text
    assert "2 more" in text


@pytest.mark.parametrize("field", ["video", "audio", "images", "image_path"])
def test_what_is_shown_in_other_fields_cannot_be_learned(tmp_path, field):
    """Source: PKU-YuanGroup/MoE-LLaVA #15, hiyouga/LlamaFactory #7909: trained as text, without a word."""
    turns = [{"from": "human", "value": "What is it?"}, {"from": "gpt", "value": "A cat."}]
    item, report = check(tmp_path, {"id": "a", field: "x.mp4", "conversations": turns})
    assert item is None
    assert report.counts == {Problem.OTHER_MEDIA: 1}
