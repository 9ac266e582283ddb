"""References to pictures: cheap to hold by the thousand, opened only when a model looks at them."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from moe_eval.errors import UnreadableImageError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["EncodedImage", "ImageFile", "ImageRef", "NamedImage", "Upright", "decode", "to_rgb"]


LONGEST_SIDE = 8192
"""Pictures with a longer side are shrunk when they are opened: models look at far less, and padding to a square, which
takes the square of this side, must fit into memory."""

LARGE = 1 << 24
"""Pictures of more pixels are decoded one at a time, so that many of them do not fill the memory at once."""


@runtime_checkable
class ImageRef(Protocol):
    """A picture that can be opened; `name` is what its data set calls it."""

    @property
    def name(self) -> str: ...

    def open(self) -> "Image":
        """The picture in RGB.

        Raises:
            UnreadableImageError: when it is missing, truncated or not a picture.
        """
        ...


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A picture in a file.

    Args:
        path: the file.
        within: the folder that it must be in once links are followed, for names that come from data; None: anywhere.
    """

    path: Path
    within: Path | None = None

    @property
    def name(self) -> str:
        return self.path.name

    def open(self) -> "Image":
        try:
            path = self.path.resolve()
            if self.within is not None and not path.is_relative_to(self.within.resolve()):
                raise UnreadableImageError(str(self.path), f"it is not in {self.within}, where the data's pictures are")
            if path.exists() and not path.is_file():  # reading a pipe or a device would not end
                raise UnreadableImageError(str(self.path), "it is no regular file")
            return decode(self.name, path.read_bytes())
        except (OSError, ValueError, RuntimeError) as error:  # a name with a null character, links in a circle
            raise UnreadableImageError(str(self.path), getattr(error, "strerror", None) or str(error)) from error


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """A picture whose encoded bytes (JPEG, PNG, …) come from somewhere else, such as a Parquet column."""

    name: str
    read: Callable[[], bytes]

    def open(self) -> "Image":
        return decode(self.name, self.read())


@dataclass(frozen=True, slots=True)
class NamedImage:
    """A picture of which only the name is at hand: enough to score answers, not to ask."""

    name: str

    def open(self) -> "Image":
        raise UnreadableImageError(self.name, "this data source has no pictures")


@dataclass(frozen=True, slots=True)
class Upright:
    """A picture turned as its EXIF orientation says, as `datasets` gives it to lmms-eval."""

    original: ImageRef

    @property
    def name(self) -> str:
        return self.original.name

    def open(self) -> "Image":
        from PIL import ImageOps

        return ImageOps.exif_transpose(self.original.open())


def to_rgb(image: "Image") -> "Image":
    """The picture in RGB, eight bits a channel. Pillow's own conversion turns deeper greys white, and floats black.

    16-bit greys lose their lower eight bits; 32-bit ones keep their range if it is that of 8 or 16 bits, and are otherwise
    scaled to their brightest; floats are from 0 to 1, or else scaled so, too.

    Raises:
        ValueError: for greys that are no numbers, or negative.
    """
    if not (image.mode in ("I", "F") or image.mode.startswith("I;16")):
        return image.convert("RGB")
    import numpy as np
    from PIL import Image

    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all() or values.min() < 0:
        raise ValueError("a grey picture with negative values, or with some that are no numbers")
    brightest = float(values.max())
    if image.mode == "F":
        white = 1.0 if brightest <= 1 else brightest
    else:
        white = next((float(most) for most in (255, 65_535) if brightest <= most), brightest)
        white = 65_535.0 if image.mode.startswith("I;16") else white
    return Image.fromarray((values * (255 / white)).astype(np.uint8), "L").convert("RGB")


_one_at_a_time = Lock()


def decode(name: str, encoded: bytes) -> "Image":
    """Decoded picture in RGB, its longest side at most `LONGEST_SIDE` pixels.

    Raises:
        UnreadableImageError: when the bytes are not a complete picture.
    """
    from io import BytesIO

    from PIL import Image

    try:
        with Image.open(BytesIO(encoded)) as image:
            factor = -(-max(image.size) // LONGEST_SIDE)
            with _one_at_a_time if image.width * image.height > LARGE else nullcontext():
                if factor > 1:
                    image.draft(None, (image.width // factor, image.height // factor))  # JPEG decodes less at once
                    factor = -(-max(image.size) // LONGEST_SIDE)
                return to_rgb(image) if factor == 1 else to_rgb(image).reduce(factor)
    except Exception as error:  # Pillow's decoders raise many kinds: OSError, SyntaxError, ValueError, …
        raise UnreadableImageError(name, str(error) or type(error).__name__) from error
