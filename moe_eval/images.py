"""References to pictures: cheap to hold by the thousand, opened only when a model looks at them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from moe_eval.errors import UnreadableImageError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["EncodedImage", "ImageFile", "ImageRef", "NamedImage", "decode"]


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


def decode(name: str, encoded: bytes) -> "Image":
    """Decoded picture in RGB.

    Raises:
        UnreadableImageError: when the bytes are not a complete picture.
    """
    from io import BytesIO

    from PIL import Image

    try:
        with Image.open(BytesIO(encoded)) as image:
            return image.convert("RGB")
    except Exception as error:  # Pillow's decoders raise many kinds: OSError, SyntaxError, ValueError, …
        raise UnreadableImageError(name, str(error) or type(error).__name__) from error
