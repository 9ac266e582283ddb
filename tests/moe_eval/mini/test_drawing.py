"""Pictures of scenes: the same bytes everywhere, and showing what the scene holds."""

import hashlib

import numpy as np
import pytest

from moe_eval.mini.content import CELL, SceneObject, Sign
from moe_eval.mini.drawing import FILLS
from moe_eval.mini.world import COLOURS, PLACES, SHAPES, Scene, make_scenes

STAR = SceneObject("red", "star", "large", 0, 0, 32, 32, 26, 5)


def pixels(scene: Scene) -> np.ndarray:
    """[height, width, 3]"""
    return np.asarray(scene.open(), dtype=int)


def test_pictures_are_the_ones_that_models_were_trained_and_measured_on():
    """A change here changes every number measured on `mini`: do it on purpose only."""
    digest = hashlib.sha256(b"".join(scene.open().tobytes() for scene in make_scenes(12, 1, "test", flaws=0.2)))
    assert digest.hexdigest()[:16] == "febf2fa483b6439d"


def test_a_picture_is_rgb_of_the_size_that_the_scene_says():
    for scene in make_scenes(8, 1, "test"):
        assert (scene.open().mode, scene.open().size) == ("RGB", (scene.width, scene.height))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_shows_its_colour_and_no_other(shape, place):
    empty = Scene("one", 1, 1, place, ())
    for colour in COLOURS:
        picture = pixels(Scene("one", 1, 1, place, (SceneObject(colour, shape, "large", 0, 0, 32, 32, 26, 10),)))
        changed = np.abs(picture - pixels(empty)).sum(axis=2) > 30
        covered = {name: (np.abs(picture - rgb).sum(axis=2) < 12)[changed].mean() for name, rgb in FILLS.items()}
        assert covered.pop(colour) > 0.45
        assert max(covered.values()) < 0.03, covered


def test_shapes_and_sizes_look_different():
    def outline(shape: str, radius: float) -> bytes:
        scene = Scene("one", 1, 1, "indoors", (SceneObject("red", shape, "", 0, 0, 32, 32, radius, 0),))
        return scene.open().tobytes()

    assert len({outline(shape, radius) for shape in SHAPES for radius in (15, 26)}) == 2 * len(SHAPES)


def test_a_word_is_written_on_the_row_of_its_sign_only():
    plain = pixels(Scene("a", 3, 3, "indoors", ()))
    signed = pixels(Scene("a", 3, 3, "indoors", (), Sign("park", 1)))
    rows = np.flatnonzero((plain != signed).any(axis=(1, 2)))
    assert CELL <= rows.min() < rows.max() < 2 * CELL
    assert (signed[rows] < 60).any(), "nothing is written"


@pytest.mark.parametrize("flaw", ["dark", "blurred"])
def test_a_photo_with_a_flaw_shows_no_edges(flaw):
    sharp = pixels(Scene("a", 2, 2, "day", (STAR,), Sign("park", 1)))
    flawed = pixels(Scene("a", 2, 2, "day", (STAR,), Sign("park", 1), flaw))
    assert np.abs(np.diff(flawed, axis=1)).max() < 0.1 * np.abs(np.diff(sharp, axis=1)).max()
