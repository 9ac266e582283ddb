"""Options to choose from."""

import random
from collections import Counter

import pytest

from moe_eval.mini.options import options_of
from moe_eval.mini.questions import Fact, facts
from moe_eval.mini.world import make_scenes

SCENES = make_scenes(60, 2, "train")


def asked(most: int):
    """(fact, scene, its options) of all facts that have more than yes and no."""
    generator = random.Random(0)
    for scene in SCENES:
        for some in facts(scene, "test").values():
            for fact in some:
                yield fact, scene, options_of(fact, scene, generator, most)


@pytest.mark.parametrize("most", [2, 3, 4, 5])
def test_the_answer_is_among_different_options_of_its_kind(most):
    for fact, _, options in asked(most):
        assert fact.answer in options
        assert 2 <= len(options) == len(set(options)) <= most
        assert set(options) <= set(fact.choices)


def test_the_answers_place_says_nothing():
    places = Counter(options.index(fact.answer) for fact, _, options in asked(4) if len(options) == 4)
    assert set(places) == {0, 1, 2, 3}
    assert max(places.values()) < 1.3 * min(places.values())


def test_one_wrong_option_is_in_the_picture_where_that_can_be():
    for fact, scene, options in asked(3):
        if fact.kind == "colour" and len({item.colour for item in scene.objects}) > 1:
            assert any(scene.having(colour=option) for option in options if option != fact.answer)


def test_beach_and_day_are_not_told_apart():
    scene = SCENES[0]
    for answer in ("day", "beach"):
        fact = Fact("place", answer, ("indoors", "day", "night", "beach"), {})
        assert sorted(options_of(fact, scene, random.Random(1))) == sorted([answer, "indoors", "night"])
