"""MM-Vet's questions about drawn scenes."""

from collections import Counter
from dataclasses import replace

import pytest
from moe_eval.tasks.mmvet import TASK
from moe_eval.tasks.mmvet.data import GRADER
from moe_eval.tasks.mmvet.scoring import CAPABILITIES

from moe_eval.mini.captions import caption
from moe_eval.mini.grader import grade_by_parts
from moe_eval.mini.mmvet import QUESTIONS, mini_mmvet
from moe_eval.mini.questions import NUMBER_WORDS
from moe_eval.scoring.score import score_answers

TEST, TRAINING = mini_mmvet(""), mini_mmvet("train:40")
DATASET = TASK.load("mini")
LLAVA = TASK.protocol("llava")


def test_capabilities_are_mm_vets_and_several_at_once():
    assert {name for _, row in TEST for name in row["capability"]} == set(CAPABILITIES)
    combinations = Counter(tuple(row["capability"]) for _, row in TEST)
    assert len(combinations) >= 7
    assert len(TEST) == 9 * QUESTIONS


@pytest.mark.parametrize("rows", [TEST, TRAINING], ids=["test", "training"])
def test_references_are_true_to_their_picture(rows):
    for scene, row in rows:
        question, parts = row["question"], row["answer"].split("<AND>")
        if question == "Which objects are in the picture?":
            assert parts == list(scene.labels)
        elif question.startswith(("What does the sign", "What is written")):
            assert parts == [scene.word]
        elif question.startswith("How many"):
            one, two = question.split()[2], question.split()[4]
            number = sum(f"{o.shape}s" in (one, two) or f"{o.shape}es" in (one, two) for o in scene.objects)
            assert row["answer"] == f"{NUMBER_WORDS[number]}<OR>{number}"
        elif question.startswith(("What is above", "What is below", "What is to the")):
            assert " ".join(parts) in scene.labels
        elif question == "Describe the picture.":
            assert set(scene.labels) <= set(parts)
            assert (scene.word in parts) == bool(scene.word)


def test_ideal_answers_are_sentences_or_captions_with_full_marks():
    for scene, row in [*TEST, *TRAINING]:
        sentence = row["response"][0].isupper() and row["response"].endswith(".")
        assert sentence or row["response"] == caption(scene)
        assert grade_by_parts(row["question"], row["answer"], row["response"]) == 1


@pytest.mark.parametrize("answer", ["Yes", "There is a red circle.", "The sign says open."])
def test_a_constant_answer_scores_low(answer):
    assert LLAVA.aggregate([LLAVA.score(sample, answer) for sample in DATASET.samples]).headline < 12


def test_training_repeats_nothing():
    assert len({(scene.name, row["question"]) for scene, row in TRAINING}) == len(TRAINING) >= 6 * 40


def test_the_scores_say_that_no_judge_has_graded():
    answers = {sample.id: sample.meta["response"] for sample in DATASET.samples}
    scores = score_answers(TASK, "llava", DATASET, answers)
    assert (scores.headline.value, scores.judge, scores.metrics["grader"]) == (100, None, GRADER)
    assert all(sample["grader"] == GRADER for sample in scores.samples)


def test_the_grades_of_a_judge_go_before_the_rule():
    sample = replace(DATASET.samples[0], meta={**DATASET.samples[0].meta, "grades": (0.3, 0.5)})
    score = LLAVA.score(sample, sample.meta["response"])
    assert score["score"] == pytest.approx(0.4)
    assert "grader" not in score


def test_real_samples_are_not_graded_by_rule():
    sample = replace(DATASET.samples[0], meta={"capabilities": ("rec",)})
    assert "score" not in LLAVA.score(sample, sample.gold)
