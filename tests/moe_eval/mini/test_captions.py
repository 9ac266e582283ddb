"""Scenes in words."""

from moe_eval.mini.captions import caption
from moe_eval.mini.world import Scene, SceneObject, Sign, make_scenes

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
