"""Pictures that open, and pictures that do not."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from moe_eval.errors import UnreadableImageError
from moe_eval.images import LONGEST_SIDE, EncodedImage, ImageFile, ImageRef, NamedImage, Upright, decode


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


@pytest.mark.parametrize(
    ("kind", "white"),
    [("uint16", 65_535), ("int32", 65_535), ("int32", 255), ("int32", 4_000_000), ("float32", 1), ("float32", 7.5)],
)
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_deep_greys_keep_their_levels(kind, white, file_format):
    """Source: python-pillow/Pillow #2574: `convert("RGB")` clips what is deeper than eight bits."""
    ramp = np.linspace(0, white, 65_536).reshape(256, 256).astype(kind)
    encoded = io.BytesIO()
    try:
        Image.fromarray(ramp).save(encoded, file_format)
    except OSError:
        pytest.skip(f"Pillow writes no {kind} as {file_format}")
    if file_format == "PNG" and kind == "int32" and white > 65_535:
        pytest.skip("PNG has no 32 bits")
    seen = np.asarray(decode("ramp", encoded.getvalue()))
    assert seen.shape == (256, 256, 3)
    assert len(np.unique(seen)) > 200
    assert 100 < seen.mean() < 155


def test_greys_that_are_no_numbers_are_refused():
    encoded = io.BytesIO()
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(encoded, "TIFF")
    with pytest.raises(UnreadableImageError, match="no numbers"):
        decode("nan.tiff", encoded.getvalue())


def test_pictures_are_regular_files_inside_their_folder(tmp_path):
    """A name that comes from data reads nothing else of the machine, and waits for nothing."""
    folder, outside = tmp_path / "data", tmp_path / "secret.png"
    folder.mkdir()
    Image.new("RGB", (4, 4)).save(outside)
    Image.new("RGB", (4, 4)).save(folder / "fine.png")
    (folder / "link.png").symlink_to(outside)
    (folder / "inside.png").symlink_to(folder / "fine.png")
    os.mkfifo(folder / "pipe.png")
    for name in ("fine.png", "inside.png"):
        assert ImageFile(folder / name, folder).open().size == (4, 4)
    for name, message in (
        ("link.png", "it is not in"),
        ("../secret.png", "it is not in"),
        (str(outside), "it is not in"),
        ("pipe.png", "no regular file"),
        ("a\0b.png", "null"),
    ):
        with pytest.raises(UnreadableImageError, match=message):
            ImageFile(folder / name, folder).open()
    assert ImageFile(outside).open().size == (4, 4)


def test_huge_pictures_are_shrunk_when_they_are_opened():
    assert decode("wide.png", encode(Image.new("1", (20_000, 30)))).size == (6_667, 10)
    assert decode("wide.jpg", encode(Image.new("L", (20_000, 30)), "JPEG")).size[0] <= LONGEST_SIDE


def test_only_an_upright_picture_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    Image.new("RGB", (30, 20), "red").save(tmp_path / "turned.jpg", exif=exif)
    picture = ImageFile(tmp_path / "turned.jpg")
    assert picture.open().size == (30, 20)
    assert (Upright(picture).open().size, Upright(picture).name) == ((20, 30), "turned.jpg")
