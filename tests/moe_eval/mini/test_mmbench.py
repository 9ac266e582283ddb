"""MMBench's rows about drawn scenes."""

from collections import Counter, defaultdict

import pytest
from moe_eval.tasks.mmbench import TASK
from moe_eval.tasks.mmbench.scoring import ABILITIES

from moe_eval.mini.mmbench import QUESTIONS, ROTATION, mini_mmbench

TEST, TRAINING = mini_mmbench(""), mini_mmbench("train:40")
LETTERS = "ABCD"


def options(row) -> list[str]:
    return [row[letter] for letter in LETTERS if letter in row]


def test_abilities_have_their_real_names_and_groups_and_as_many_questions():
    for _, row in [*TEST, *TRAINING]:
        assert row["category"] in ABILITIES[row["l2-category"]]
    counts = Counter(row["category"] for _, row in TEST if row["index"] < ROTATION)
    assert len(counts) == 6
    assert set(counts.values()) == {QUESTIONS}


def test_every_rotation_is_there_and_turns_options_and_answer_by_one():
    questions = defaultdict(list)
    for scene, row in TEST:
        questions[row["index"] % ROTATION].append((scene, row))
    for rotations in questions.values():
        first = options(rotations[0][1])
        assert [row["index"] // ROTATION for _, row in rotations] == list(range(len(first)))
        for turn, (scene, row) in enumerate(rotations):
            assert scene == rotations[0][0]
            assert options(row) == first[turn:] + first[:turn]
            assert row[row["answer"]] == rotations[0][1][rotations[0][1]["answer"]]
            assert (row["question"], row["hint"]) == (rotations[0][1]["question"], rotations[0][1]["hint"])


def test_some_questions_have_a_hint():
    hints = [bool(row["hint"]) for _, row in TEST if row["index"] < ROTATION]
    assert 0.1 < sum(hints) / len(hints) < 0.3


def test_training_asks_each_question_once():
    assert all(row["index"] < ROTATION for _, row in TRAINING)
    assert len({(scene.name, row["question"]) for scene, row in TRAINING}) == len(TRAINING) >= 6 * 40
    assert {scene.split for scene, _ in TRAINING} == {"train"}


@pytest.mark.parametrize("rows", [TEST, TRAINING], ids=["test", "training"])
def test_answers_are_true_to_their_picture(rows):
    for scene, row in rows:
        answer, question = row[row["answer"]], row["question"]
        if question == "What does the sign say?":
            assert answer == scene.word
        elif question == "Which place or time does this picture show?":
            assert answer == scene.place
        elif question.startswith("What is the color of the "):
            assert answer in colours(scene, question.removeprefix("What is the color of the ").removesuffix("?"))
        elif question.startswith("Where is the "):
            one, other = question.removeprefix("Where is the ").removesuffix("?").split(", seen from the ")
            (one,), (other,) = named(scene, one), named(scene, other)
            holds = {
                "left": one.x < other.x,
                "right": one.x > other.x,
                "above": one.y < other.y,
                "below": one.y > other.y,
            }
            assert holds[answer]
            assert sorted(options(row)) in (["left", "right"], ["above", "below"])


def named(scene, name: str) -> list:
    words = [word for word in name.split() if word != "object"]
    return [o for o in scene.objects if all(word in (o.colour, o.shape, o.size) for word in words)]


def colours(scene, name: str) -> set[str]:
    found = {item.colour for item in named(scene, name)}
    return found if len(found) == 1 else set()


def test_prompts_are_short():
    prompt = TASK.protocol("llava").prompt
    assert max(len(prompt(sample).split()) for sample in TASK.load("mini").samples) <= 60


def test_ideal_answers_are_all_right_and_a_constant_one_never_in_every_rotation():
    dataset = TASK.load("mini")
    assert 100 <= len(dataset.samples) <= 600
    for protocol in TASK.protocols.values():
        scores = [protocol.score(sample, sample.meta["response"]) for sample in dataset.samples]
        assert protocol.aggregate(scores).headline == 100
        scores = [protocol.score(sample, "A") for sample in dataset.samples]
        assert protocol.aggregate(scores).headline == 0
