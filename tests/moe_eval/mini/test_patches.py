"""Labels of patches say what is drawn there."""

import numpy as np
import pytest

from moe_eval.mini.content import CELL
from moe_eval.mini.drawing import FILLS
from moe_eval.mini.patches import VOCABULARIES, patch_labels
from moe_eval.mini.questions import column_of, row_of
from moe_eval.mini.world import make_scenes

SCENES = make_scenes(40, 5, "train", flaws=0.1)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_labelled_patch_shows_its_colour(scene):
    side = max(scene.width, scene.height)
    padded = np.full((side, side, 3), 255)
    left, top = (side - scene.width) // 2, (side - scene.height) // 2
    padded[top : top + scene.height, left : left + scene.width] = np.asarray(scene.open())
    labels = patch_labels(scene, 6)
    patch = side // 6
    for number, colour in enumerate(labels["colour"]):
        if colour:
            row, column = divmod(number, 6)
            pixels = padded[row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
            fill = FILLS[VOCABULARIES["colour"][colour]]
            assert (np.abs(pixels - fill).sum(axis=-1) < 40).any()


def test_every_object_and_sign_is_labelled():
    for scene in SCENES:
        labels = patch_labels(scene, 6)
        seen = {VOCABULARIES["shape"][label] for label in labels["shape"]} - {""}
        words = {VOCABULARIES["word"][label] for label in labels["word"]} - {""}
        assert seen == (set() if scene.flaw else {item.shape for item in scene.objects})
        assert words == ({scene.word} - {""} if not scene.flaw else set())


def test_padding_has_no_place():
    wide = next(scene for scene in SCENES if scene.width > scene.height and not scene.flaw)
    places = np.array(patch_labels(wide, 6)["place"]).reshape(6, 6)
    border = (6 - 6 * wide.height // wide.width) // 2
    assert border == 1 == CELL // 64
    assert not places[[0, -1]].any()
    assert places[1:-1].all()


def test_the_places_of_patches_are_those_of_what_they_show():
    for scene in SCENES:
        labels = patch_labels(scene, 6)
        for shape, colour, column, row in zip(
            *(labels[kind] for kind in ("shape", "colour", "column", "row")), strict=True
        ):
            if shape:
                names = VOCABULARIES["colour"][colour], VOCABULARIES["shape"][shape]
                where = VOCABULARIES["column"][column], VOCABULARIES["row"][row]
                items = [item for item in scene.objects if (item.colour, item.shape) == names]
                assert where in [(column_of(scene, item), row_of(scene, item)) for item in items]
