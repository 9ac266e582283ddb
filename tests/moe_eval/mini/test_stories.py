"""Told scenes: what is asked can be answered from what is told."""

import random
import re

from moe_eval.mini.scienceqa import describe
from moe_eval.mini.stories import SAID, description, story_questions
from moe_eval.mini.world import make_scenes
from moe_eval.prompts import OPTION_LETTER, SHORT_ANSWER

SCENES = make_scenes(40, 8, "train", signs=0.5)


def test_every_prompt_tells_the_whole_story():
    for scene in SCENES:
        for prompt, _ in story_questions(scene, random.Random(0), 8):
            assert prompt.startswith(f"Context: {describe(scene)}\n")


def test_answers_are_words_of_the_story_counts_or_comparisons():
    for scene in SCENES:
        story = describe(scene).lower().replace(".", "").replace(",", "").split()
        for prompt, answer in story_questions(scene, random.Random(1), 8):
            if prompt.endswith(SHORT_ANSWER):
                assert answer in story or answer.isdecimal() or answer in ("yes", "no")


def test_a_letter_names_the_answer():
    for scene in SCENES:
        rounds = story_questions(scene, random.Random(2), 8)
        asked = [(prompt, answer) for prompt, answer in rounds if prompt.endswith(OPTION_LETTER)]
        assert len(asked) == len(rounds) // 2
        for prompt, letter in asked:
            assert f"\n{letter}. " in prompt


def test_what_is_said_need_not_be_counted_or_compared():
    for scene in SCENES:
        for prompt, answer in story_questions(scene, random.Random(3), 8, SAID):
            if prompt.endswith(SHORT_ANSWER):
                assert re.search(rf"\b{answer}\b", describe(scene))


def test_every_thing_is_described_by_its_name():
    for scene in SCENES:
        prompt, described = description(scene, random.Random(4))
        assert prompt.startswith(f"Context: {describe(scene)}\n")
        names = re.search(r"Describe each: (.*)\.$", prompt)[1].split(", ")
        assert [part.split(" is ")[0] for part in described.split(", ")] == [f"the {name}" for name in names]
        assert sorted(part.split(" is ")[1] for part in described.split(", ")) == sorted(
            f"{item.size} and {item.colour}" for item in scene.objects
        )
