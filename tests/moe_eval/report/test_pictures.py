"""Thumbnails: small, once each, and none where there is none."""

import base64
import io
from dataclasses import dataclass

import pytest
from PIL import Image

from moe_eval.errors import UnreadableImageError
from moe_eval.report.pictures import Album, shrink
from moe_eval.task import Sample


@dataclass
class Picture:
    """Plain colour; counts how often it is opened."""

    name: str
    colour: str = "red"
    size: tuple[int, int] = (400, 200)
    opened: int = 0

    def open(self) -> Image.Image:
        self.opened += 1
        if self.colour == "broken":
            raise UnreadableImageError(self.name, "broken")
        return Image.new("RGB", self.size, self.colour)


def sample(name: str, picture: Picture, group: str = "g") -> Sample:
    return Sample(id=name, question="?", images=(picture,), gold="yes", group=group)


def test_the_longest_side_is_the_one_asked_for():
    assert Image.open(io.BytesIO(shrink(Picture("a"), 160))).size == (160, 80)


def test_a_small_picture_is_not_enlarged():
    assert Image.open(io.BytesIO(shrink(Picture("a", size=(40, 20)), 160))).size == (40, 20)


def test_questions_about_one_picture_share_it():
    pictures = [Picture("a.jpg"), Picture("a.jpg")]  # as a Parquet file has it: an object per row
    album = Album()
    assert album.add([sample("1", pictures[0]), sample("2", pictures[1])], 10) == [[0], [0]]
    assert [picture.opened for picture in pictures] == [1, 0]


def test_pictures_of_one_name_in_different_groups_are_different_pictures():
    album = Album()
    samples = [sample("1", Picture("0001.png"), "ocr"), sample("2", Picture("0001.png", "blue"), "color")]
    assert album.add(samples, 10) == [[0], [1]]


def test_equal_pictures_under_different_names_are_stored_once():
    album = Album()
    assert album.add([sample("1", Picture("a"), "a"), sample("2", Picture("b"), "b")], 10) == [[0], [0]]
    assert len(album.encoded) == 1


def test_pictures_beyond_the_limit_are_left_out_and_counted():
    album, beyond = Album(), Picture("b", "blue")
    assert album.add([sample("1", Picture("a"), "a"), sample("2", beyond, "b")], 1) == [[0], [None]]
    assert (album.left_out, beyond.opened) == (1, 0)


def test_a_broken_picture_is_counted():
    album = Album()
    assert album.add([sample("1", Picture("a", "broken"), "a"), sample("2", Picture("b"), "b")], 10) == [[None], [0]]
    assert album.unreadable == 1


def test_thumbnails_are_webp():
    album = Album()
    album.add([sample("1", Picture("a"))], 1)
    with Image.open(io.BytesIO(base64.b64decode(album.encoded[0]))) as thumbnail:
        assert thumbnail.format == "WEBP"


@pytest.mark.parametrize("limit", [0, 5])
def test_no_pictures_no_album(limit):
    album = Album()
    assert album.add([Sample(id="1", question="?", images=(), gold=None, group="g")], limit) == [[]]
    assert album.encoded == []
