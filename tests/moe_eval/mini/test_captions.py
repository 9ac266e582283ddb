"""Scenes in words."""

import random

import pytest

from moe_eval.mini.captions import caption, region_captions, relation_captions
from moe_eval.mini.content import SceneObject, Sign
from moe_eval.mini.world import SHAPES, Scene, make_scenes

RING = SceneObject("blue", "ring", "large", 1, 2, 96, 160, 26, 0)
STAR = SceneObject("orange", "star", "small", 0, 0, 32, 32, 16, 0)


def test_a_caption_says_everything_in_reading_order():
    scene = Scene("one", 2, 3, "night", (RING, STAR), Sign("open", 1))
    assert caption(scene) == (
        "a small orange star at the top left and a sign that says open and a large blue ring at the bottom right, at night"
    )


def test_nothing_can_be_said_of_a_photo_with_a_flaw():
    assert caption(Scene("one", 2, 3, "night", (RING,), flaw="blurred")) == "a blurred photo"


def test_different_things_in_a_picture_are_different_captions():
    scenes = make_scenes(50, 1, "train")
    assert len({caption(scene) for scene in scenes}) > 45


@pytest.fixture(scope="module")
def regions() -> list[tuple[Scene, str, str]]:
    """Scenes with what is described and how."""
    return [
        (scene, request.removeprefix("Describe ").removesuffix("."), answer)
        for seed, scene in enumerate(make_scenes(200, 1, "train"))
        for request, answer in region_captions(scene, random.Random(seed))
    ]


def test_each_object_is_described_by_a_name_that_fits_it_alone():
    pairs = region_captions(Scene("one", 2, 3, "night", (RING, STAR)), random.Random(0))
    described = {answer for request, answer in pairs if "what is" not in request and "no " not in answer}
    assert described == {"a large blue ring at the bottom right", "a small orange star at the top left"}


def test_what_is_said_not_to_be_there_is_not_there(regions):
    absent = [(scene, what) for scene, what, answer in regions if answer == f"There is no {what.removeprefix('the ')}."]
    assert len(absent) > 300
    for scene, what in absent:
        words = what.removeprefix("the ").removesuffix(" object").split()
        assert not [item for item in scene.objects if set(words) <= {item.colour, item.shape}]


def test_what_is_there_is_said_to_be_there(regions):
    for scene, what, answer in regions:
        name = what.removeprefix("the ")
        if name in SHAPES:
            assert answer.startswith("There is no") != bool(scene.having(shape=name))


def test_a_neighbour_is_described_where_one_thing_alone_lies_so():
    left = [
        dict(region_captions(Scene("one", 2, 3, "day", (RING, STAR)), random.Random(seed))).get(
            "Describe what is to the left of the blue ring."
        )
        for seed in range(40)
    ]
    assert set(left) == {None, "a small orange star at the top left"}


def test_a_sign_says_its_word_and_no_other(regions):
    signs = [(scene, what, answer) for scene, what, answer in regions if what.startswith("the sign")]
    assert len(signs) == 2 * len({scene for scene, _, _ in signs})
    for scene, what, answer in signs:
        assert answer.startswith("a sign") == (what == f'the sign that says "{scene.word}"')


def test_a_photo_with_a_flaw_has_no_regions():
    assert region_captions(Scene("one", 2, 3, "night", (RING,), flaw="blurred"), random.Random(0)) == []


def test_how_two_things_lie_is_told_in_full_and_as_a_statement():
    scene = Scene("one", 2, 3, "night", (RING, STAR))
    told = {}
    for seed in range(200):
        told |= dict(relation_captions(scene, random.Random(seed), 4))
    assert told["Where is the star, seen from the ring?"] == "to the left and above"
    assert told["Where is the blue ring, seen from the orange object?"] == "to the right and below"
    assert told["The star is above the ring: yes or no?"] == "yes"
    assert told["The star is below the ring: yes or no?"] == "no"


def test_nothing_is_told_of_one_thing_alone():
    assert relation_captions(Scene("one", 2, 3, "night", (RING,)), random.Random(0), 4) == []
