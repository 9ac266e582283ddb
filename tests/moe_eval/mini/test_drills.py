"""Questions about nothing but their own words."""

import random
import re
from collections import Counter

from moe_eval.mini.drills import option_drill, read_drill, repeat_drill

DRILLS = [option_drill(random.Random(seed)) for seed in range(1000)]


def test_the_letter_is_that_of_the_option_with_the_word():
    for prompt, letter in DRILLS:
        word = re.match(r"Which option says (\w+)\?\n", prompt)[1]
        assert re.findall(rf"^(\w)\. {word}$", prompt, re.MULTILINE) == [letter]


def test_options_are_listed_and_asked_for_as_in_the_benchmarks():
    listed = [re.findall(r"^(\w)\. \w+$", prompt, re.MULTILINE) for prompt, _ in DRILLS]
    assert {"".join(letters) for letters in listed} == {"AB", "ABC", "ABCD", "ABCDE"}
    assert all(
        prompt.endswith("\nAnswer with the option's letter from the given choices directly.") for prompt, _ in DRILLS
    )


def test_no_letter_is_a_safe_guess():
    of_four = Counter(letter for prompt, letter in DRILLS if "\nD." in prompt and "\nE." not in prompt)
    assert of_four.keys() == set("ABCD")
    assert max(of_four.values()) < 0.4 * of_four.total()


def test_every_option_is_read_by_its_letter():
    for seed in range(200):
        prompt, answer = read_drill(random.Random(seed))
        options = re.findall(r"^([A-E])\. (\w+)$", prompt, re.MULTILINE)
        asked = re.match(r"What do options (.*) say\?\n", prompt)[1].split(", ")
        assert [read.split(" is ")[0] for read in answer.split(", ")] == asked
        assert {tuple(read.split(" is ")) for read in answer.split(", ")} == set(options)


def test_words_are_repeated_and_differ():
    for seed in range(200):
        prompt, answer = repeat_drill(random.Random(seed))
        assert prompt == f"Repeat: {answer}"
        assert len(set(answer.split())) == len(answer.split()) >= 3
