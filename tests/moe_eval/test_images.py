"""Pictures that open, and pictures that do not."""

import io

import pytest
from PIL import Image

from moe_eval.errors import UnreadableImageError
from moe_eval.images import EncodedImage, ImageFile, ImageRef, NamedImage, decode


def encode(image: Image.Image, format_name: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, format_name)
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_every_picture_opens_in_rgb(mode):
    encoded = encode(Image.new(mode, (3, 2)), "JPEG" if mode == "CMYK" else "PNG")
    assert decode("picture", encoded).mode == "RGB"


@pytest.mark.parametrize("spoil", [lambda data: b"", lambda data: b"text", lambda data: data[: len(data) // 2]])
def test_broken_bytes_are_named(spoil):
    noise = Image.effect_noise((64, 64), 50)
    with pytest.raises(UnreadableImageError, match=r"cat\.png: "):
        EncodedImage("cat.png", lambda: spoil(encode(noise))).open()


def test_missing_file_is_named_with_its_path(tmp_path):
    with pytest.raises(UnreadableImageError, match=r"/cat\.png: No such file"):
        ImageFile(tmp_path / "cat.png").open()


def test_every_kind_is_a_reference(tmp_path):
    for image in (ImageFile(tmp_path / "a"), EncodedImage("a", bytes), NamedImage("a")):
        assert isinstance(image, ImageRef)
        assert image.name == "a"
