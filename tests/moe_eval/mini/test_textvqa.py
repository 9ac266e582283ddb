"""TextVQA's rows about drawn signs, and an OCR system that errs."""

import random
from collections import Counter

from moe_eval.mini.textvqa import PICTURES, mini_textvqa, read_by_ocr
from moe_eval.mini.world import WORDS

ROWS = mini_textvqa("")


def test_rows_have_the_columns_that_the_hub_has():
    assert {"question_id", "image_id", "question", "answers", "ocr_tokens"} <= set(ROWS[0][1])
    assert len({row["question_id"] for _, row in ROWS}) == len(ROWS)


def test_each_picture_has_a_sign_and_three_questions():
    counts = Counter(row["image_id"] for _, row in ROWS)
    assert (len(counts), set(counts.values())) == (PICTURES, {3})
    assert all(scene.sign for scene, _ in ROWS)


def test_all_questions_about_a_picture_come_with_the_same_tokens():
    assert len({(row["image_id"], tuple(row["ocr_tokens"])) for _, row in ROWS}) == PICTURES


def test_what_a_sign_says_is_the_answer_to_what_it_says():
    reading = [
        (scene, row) for scene, row in ROWS if row["question"].startswith(("What does", "What word", "What number"))
    ]
    assert len(reading) > 50
    assert all(row["response"] == scene.word for scene, row in reading)


def test_many_questions_are_not_about_the_words():
    assert sum(row["response"] != scene.word for scene, row in ROWS) > 0.4 * len(ROWS)


def test_copying_the_first_token_is_right_for_less_than_half_of_the_signs():
    tokens = {scene.word: row["ocr_tokens"] for scene, row in ROWS}
    copied = [bool(found) and found[0].lower() == word for word, found in tokens.items()]
    assert 0.1 < sum(copied) / len(copied) < 0.5


def test_ocr_reads_right_or_errs_in_one_letter_or_sees_nothing():
    read = {tuple(read_by_ocr("stop", random.Random(seed))) for seed in range(300)}
    assert {("STOP",), ("ST0P",), ("5TOP",), ("STO",), ()} <= read
    others = {token for tokens in read for token in tokens} - {word.upper() for word in WORDS}
    assert all(len(token) in (3, 4) for token in others)


def test_a_question_that_chooses_names_the_word_and_another():
    choosing = [(scene, row["question"]) for scene, row in ROWS if " or " in row["question"]]
    assert choosing
    for scene, question in choosing:
        first, second = question.removeprefix("Does the sign say ").removesuffix("?").split(" or ")
        assert [scene.word in (first, second), first != second] == [True, True]
