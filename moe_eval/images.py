"""References to pictures: cheap to hold by the thousand, opened only when a model looks at them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from moe_eval.errors import UnreadableImageError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["EncodedImage", "ImageFile", "ImageRef", "NamedImage", "decode", "to_rgb"]


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
    """A picture in a file."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def open(self) -> "Image":
        try:
            return decode(self.name, self.path.read_bytes())
        except OSError as error:
            raise UnreadableImageError(str(self.path), error.strerror or str(error)) from error


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


def decode(name: str, encoded: bytes) -> "Image":
    """Decoded picture in RGB.

    Raises:
        UnreadableImageError: when the bytes are not a complete picture.
    """
    from io import BytesIO

    from PIL import Image

    try:
        with Image.open(BytesIO(encoded)) as image:
            return to_rgb(image)
    except Exception as error:  # Pillow's decoders raise many kinds: OSError, SyntaxError, ValueError, …
        raise UnreadableImageError(name, str(error) or type(error).__name__) from error
