"""MME's pairs about drawn scenes."""

import re
from collections import Counter

import pytest
from moe_eval.tasks.mme import TASK

from moe_eval.mini.mme import PICTURES, mini_mme
from moe_eval.mini.questions import NUMBER_WORDS, PLACE_PHRASES
from moe_eval.mini.world import Scene

TEST, TRAINING = mini_mme(""), mini_mme("train:40")


def test_a_test_picture_belongs_to_one_subtask_and_all_subtasks_have_as_many():
    counts = Counter(row["category"] for _, row in TEST)
    assert set(counts) == {"existence", "count", "position", "color", "scene", "OCR"}
    assert set(counts.values()) == {2 * PICTURES}
    assert len({scene.name for scene, _ in TEST}) == 6 * PICTURES


@pytest.mark.parametrize("rows", [TEST, TRAINING], ids=["test", "training"])
def test_pairs_are_adjacent_a_yes_and_a_no_and_true_to_their_picture(rows):
    for (scene, yes), (same, no) in zip(rows[::2], rows[1::2], strict=True):
        assert scene == same
        assert (yes["question_id"], yes["answer"], no["answer"]) == (no["question_id"], "Yes", "No")
        assert yes["question"].endswith(" Please answer yes or no.")
        assert is_true(yes["question"].removesuffix(" Please answer yes or no."), scene)
        assert not is_true(no["question"].removesuffix(" Please answer yes or no."), scene)


def test_training_asks_about_everything_in_a_picture_and_repeats_nothing():
    assert len(TRAINING) >= 8 * 40
    assert len({(row["question_id"], row["question"]) for _, row in TRAINING}) == len(TRAINING)
    assert {scene.split for scene, _ in TRAINING} == {"train"}


def is_true(question: str, scene: Scene) -> bool:
    """What the question says, looked up in the scene by other code than made it."""
    if found := re.fullmatch(r"Is there an? (\w+) in this image\?", question):
        return any(item.shape == found[1] for item in scene.objects)
    if found := re.fullmatch(r"Is there an? (\w+ \w+) in the image\?", question):
        return found[1] in scene.labels
    if found := re.fullmatch(r"(?:Are there|Is there only) (\w+) (.+) in this image\?", question):
        return len(named(scene, re.sub("(?<=ss)es$|(?<=[^s])s$", "", found[2]))) == NUMBER_WORDS.index(found[1])
    if found := re.fullmatch(
        r"Is the (.+) (on the left of|on the right of|above|below) the (.+) in this image\?", question
    ):
        (one,), (other,) = named(scene, found[1]), named(scene, found[3])
        holds = {"on the left of": one.x < other.x, "on the right of": one.x > other.x}
        return {**holds, "above": one.y < other.y, "below": one.y > other.y}[found[2]]
    if found := re.fullmatch(r"Is this picture captured (.+)\?", question):
        return PLACE_PHRASES[scene.place] == found[1]
    found = re.fullmatch(r'Is the (?:word|number) on the sign "(\w+)"\?', question)
    return found[1] == scene.word


def named(scene: Scene, name: str) -> list:
    """The objects that "star", "red star", "red object" or "object" mean."""
    words = [word for word in name.split() if word != "object"]
    return [item for item in scene.objects if all(word in (item.colour, item.shape) for word in words)]


def test_ideal_answers_reach_the_maximum_and_a_constant_one_a_quarter():
    dataset = TASK.load("mini")
    assert 100 <= len(dataset.samples) <= 600
    for protocol in TASK.protocols.values():
        ideal = protocol.aggregate([protocol.score(sample, sample.meta["response"]) for sample in dataset.samples])
        assert (ideal.headline, ideal.metrics["percent_of_maximum"]) == (6 * 200, {"perception": 100})
        constant = protocol.aggregate([protocol.score(sample, "Yes") for sample in dataset.samples])
        assert constant.metrics["percent_of_maximum"] == {"perception": 25}
