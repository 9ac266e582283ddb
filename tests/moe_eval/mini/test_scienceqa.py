"""ScienceQA's questions about drawn scenes, and about scenes that are told."""

import re

import pytest
from moe_eval.tasks.scienceqa import TASK

from moe_eval.mini.scienceqa import LECTURES, SCENES, mini_scienceqa
from moe_eval.mini.world import COLOURS, SHAPES, SIZES

TEST, TRAINING = mini_scienceqa(""), mini_scienceqa("train:40")
FIELDS = {
    *("id", "question", "choices", "answer", "hint", "image", "task", "grade", "subject"),
    *("topic", "category", "skill", "lecture", "solution", "split"),
}


def test_rows_have_the_fields_of_the_original():
    assert all(set(row) == FIELDS for _, row in TEST)
    assert {row["subject"] for _, row in TEST} == set(LECTURES)


def test_half_of_the_test_questions_have_a_picture():
    assert len(TEST) == SCENES
    assert sum(scene is not None for scene, _ in TEST) == SCENES / 2
    assert all((row["image"] is None) == (scene is None) for scene, row in TEST)


@pytest.mark.parametrize("rows", [TEST, TRAINING], ids=["test", "training"])
def test_without_a_picture_the_hint_tells_the_answer(rows):
    for scene, row in rows:
        if scene is None:
            assert row["hint"]
            answer = row["choices"][row["answer"]]
            if row["skill"] in ("colour", "shape", "word"):
                assert re.search(rf"\b{answer}\b", row["hint"])
            if row["skill"] == "count":
                name = row["question"].removeprefix("How many ").removesuffix(" are there?")
                assert int(answer) == told(row["hint"], name)


def told(hint: str, name: str) -> int:
    """How often "red objects" or "crosses" are said to be there."""
    words = hint.split(" The sign")[0].replace(",", "").replace(".", "").split()
    things = [words[n : n + 3] for n, word in enumerate(words) if word in SIZES]
    wanted = name.split()[0]
    if wanted in COLOURS:
        return sum(colour == wanted for _, colour, _ in things)
    return len(things) if wanted == "objects" else sum(wanted in (f"{shape}s", f"{shape}es") for *_, shape in things)


@pytest.mark.parametrize("rows", [TEST, TRAINING], ids=["test", "training"])
def test_with_a_picture_the_picture_tells_the_answer(rows):
    for scene, row in rows:
        answer = row["choices"][row["answer"]]
        if scene and row["skill"] in ("colour", "shape", "size"):
            words = row["question"].removesuffix("?").split()[5:]
            words = [word for word in words if word in (*COLOURS, *SHAPES, *SIZES)]
            found = [o for o in scene.objects if all(word in (o.colour, o.shape, o.size) for word in words)]
            assert {getattr(item, row["skill"]) for item in found} == {answer}
        if scene and row["skill"] == "word":
            assert answer == scene.word
            assert answer not in row["hint"]


def test_some_pictures_come_with_a_hint():
    hints = [bool(row["hint"]) for scene, row in TEST if scene]
    assert 0.25 < sum(hints) / len(hints) < 0.6


def test_training_repeats_nothing():
    shown = [(scene.name if scene else row["hint"], row["question"]) for scene, row in TRAINING]
    assert len(set(shown)) == len(shown) >= 6 * 40


def test_prompts_are_short_and_without_the_lecture():
    for sample in TASK.load("mini").samples:
        prompt = TASK.protocol("llava").prompt(sample)
        assert len(prompt.split()) <= 60
        assert not any(lecture in prompt for lecture in LECTURES.values())


def test_ideal_answers_are_all_right_and_a_constant_one_is_not():
    dataset = TASK.load("mini")
    for protocol in TASK.protocols.values():
        for answer, low, high in ((None, 100, 100), ("A", 25, 50)):
            scores = [protocol.score(sample, answer or sample.meta["response"]) for sample in dataset.samples]
            assert low <= protocol.aggregate(scores).headline <= high
