"""Scenes: the same everywhere, apart for training and testing, and as they say."""

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_eval.mini.content import CELL
from moe_eval.mini.world import COLOURS, SHAPES, make_scenes

SCENES = make_scenes(300, 1, "train", flaws=0.1)


def test_the_same_arguments_give_the_same_scenes():
    assert make_scenes(5, 7, "test") == make_scenes(5, 7, "test") != make_scenes(5, 8, "test")


def test_scenes_are_the_ones_that_models_were_trained_and_measured_on():
    """A change here changes every number measured on `mini`: do it on purpose only."""
    content = repr([make_scenes(60, 2024, "test"), make_scenes(60, 2024, "train", signs=1.0, flaws=0.5)])
    assert hashlib.sha256(content.encode()).hexdigest()[:16] == "709bfdf3244374cd"


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_what_can_be_seen_in_training_is_never_seen_in_testing(one, other, signs, flaws):
    train = make_scenes(8, one, "train", signs=signs, flaws=flaws)
    test = make_scenes(8, other, "test", signs=signs, flaws=flaws)
    assert not {seen(scene) for scene in train} & {seen(scene) for scene in test}


def seen(scene) -> tuple:
    objects = frozenset((item.label, item.size, item.column, item.row) for item in scene.objects)
    return scene.columns, scene.rows, scene.place, objects, scene.sign, scene.flaw


def test_fewer_scenes_are_the_first_of_more():
    assert make_scenes(20, 3, "test")[:5] == make_scenes(5, 3, "test")


def test_names_are_unique_and_say_the_split():
    assert len({scene.name for scene in SCENES}) == len(SCENES)
    assert all(scene.name.startswith("train_") and scene.name.endswith(".png") for scene in SCENES)


@pytest.mark.parametrize("scene", SCENES[:60], ids=lambda scene: scene.name)
def test_objects_lie_in_cells_of_their_own_beside_the_sign(scene):
    assert 1 <= len(set(scene.labels)) == len(scene.objects) <= 4
    assert len({(item.column, item.row) for item in scene.objects}) == len(scene.objects)
    for item in scene.objects:
        assert CELL * item.column <= item.x - item.radius
        assert item.x + item.radius <= CELL * (item.column + 1) <= scene.width
        assert CELL * item.row <= item.y - item.radius
        assert item.y + item.radius <= CELL * (item.row + 1) <= scene.height
        assert scene.sign is None or item.row != scene.sign.row


def test_small_and_large_are_far_apart():
    radii = {size: [o.radius for s in SCENES for o in s.objects if o.size == size] for size in ("small", "large")}
    assert min(radii["large"]) > 1.3 * max(radii["small"])


def test_objects_are_found_by_what_they_are():
    scene = next(scene for scene in SCENES if len(scene.objects) == 4)
    item = scene.objects[2]
    assert scene.having(colour=item.colour, shape=item.shape) == [item]
    assert scene.having() == list(scene.objects)


def test_shares_of_signs_and_flaws_are_as_asked_for():
    assert all(scene.word for scene in make_scenes(20, 1, "train", signs=1.0))
    assert not any(scene.word for scene in make_scenes(20, 1, "train", signs=0.0))
    assert 15 < sum(bool(scene.flaw) for scene in SCENES) < 50


def test_some_objects_are_common_and_every_object_can_be_met():
    counts = Counter(label for scene in make_scenes(3000, 1, "train") for label in scene.labels)
    assert set(counts) == {f"{colour} {shape}" for colour in COLOURS for shape in SHAPES}
    assert max(counts.values()) > 4 * min(counts.values())
