"""What `mini` and `mini:train:COUNT` mean."""

import pytest

from moe_eval.errors import UserError
from moe_eval.mini.source import mini_scenes, mini_split


def test_nothing_is_the_test_set_and_train_says_how_many():
    assert mini_split("pope", "") == ("test", 0)
    assert mini_split("pope", "train:12") == ("train", 12)


@pytest.mark.parametrize("argument", ["3", "train", "train:", "train:0", "train:-1", "train:many", "test:5"])
def test_anything_else_is_one_clear_line(argument):
    with pytest.raises(UserError, match=r"pope: mini takes nothing, or train:COUNT scenes"):
        mini_split("pope", argument)


def test_tasks_share_training_pictures_and_not_test_pictures():
    assert mini_scenes("pope", "train:5", 3) == mini_scenes("mme", "train:5", 3)
    assert not {scene.objects for scene in mini_scenes("pope", "", 20)} & {
        scene.objects for scene in mini_scenes("mme", "", 20)
    }
    assert {scene.split for scene in mini_scenes("pope", "", 20)} == {"test"}
