"""Ten people who answer: most of them right, with people's noise."""

import random
from collections import Counter

from moe_eval.mini.annotators import PEOPLE, ten_people, with_confidence
from moe_eval.mini.questions import COUNTS, YES_NO
from moe_eval.mini.world import COLOURS

MANY = [ten_people(random.Random(seed), "red", COLOURS) for seed in range(300)]


def test_ten_answer_and_most_of_them_are_right():
    assert {len(answers) for answers in MANY} == {PEOPLE}
    assert all(Counter(answers).most_common(1)[0][0] == "red" for answers in MANY)


def test_some_questions_are_answered_by_all_alike_and_most_are_not():
    unanimous = sum(set(answers) == {"red"} for answers in MANY)
    assert 0.25 < unanimous / len(MANY) < 0.55


def test_who_is_wrong_names_other_colours_or_does_not_know():
    others = {answer for answers in MANY for answer in answers} - {"red"}
    assert set(COLOURS) - {"red"} <= others
    assert {"it is red", "unknown", ""} <= others


def test_some_write_numbers_in_letters():
    assert any("two" in ten_people(random.Random(seed), "2", COUNTS) for seed in range(50))


def test_yes_is_said_in_other_words_too():
    assert any("yes it is" in ten_people(random.Random(seed), "yes", YES_NO) for seed in range(50))


def test_confidence_is_of_three_kinds_and_the_right_are_surer():
    records = [r for number, answers in enumerate(MANY) for r in with_confidence(random.Random(number), answers, "red")]
    assert {record["answer_confidence"] for record in records} == {"yes", "maybe", "no"}
    sure = {right: Counter() for right in (True, False)}
    for record in records:
        sure[record["answer"] == "red"][record["answer_confidence"]] += 1
    assert sure[True]["yes"] / sure[True].total() > sure[False]["yes"] / sure[False].total()
