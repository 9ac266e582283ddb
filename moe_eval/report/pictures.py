"""Pictures made small for the page, each stored once however many questions are about it."""

import base64
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from moe_eval.errors import UnreadableImageError
from moe_eval.images import ImageRef
from moe_eval.task import Sample

__all__ = ["Album", "shrink"]

QUALITY = 70
AHEAD = 64
"""Pictures that are opened at the same time, so that memory stays small."""


@dataclass
class Album:
    """The thumbnails of a report, in the order in which they were first seen.

    Args:
        side: longest side of a thumbnail in pixels.

    Attributes:
        encoded: base64 of WebP, one per different picture.
        unreadable: how many pictures could not be opened.
        left_out: how many were not opened because of a limit.
    """

    side: int = 160
    encoded: list[str] = field(default_factory=list)
    unreadable: int = 0
    left_out: int = 0
    _by_content: dict[str, int] = field(default_factory=dict)

    def add(self, samples: Iterable[Sample], limit: int) -> list[list[int | None]]:
        """Take up the pictures of a data set.

        Questions of one group that name the same picture share it; pictures with equal content are stored once.

        Args:
            limit: how many different pictures to open.

        Returns:
            per sample, the index of each of its pictures; None where it is left out or cannot be opened.
        """
        wanted: dict[tuple[str, str], ImageRef] = {}
        keys = []
        for sample in samples:
            keys.append([(sample.group, image.name) for image in sample.images])
            for key, image in zip(keys[-1], sample.images, strict=True):
                wanted.setdefault(key, image)
        opened = dict(islice(wanted.items(), limit))
        self.left_out += len(wanted) - len(opened)
        indices = dict(zip(opened, map(self._keep, self._shrink_all(list(opened.values()))), strict=True))
        return [[indices.get(key) for key in of_sample] for of_sample in keys]

    def _shrink_all(self, images: Sequence[ImageRef]) -> Iterator[bytes | None]:
        """Several at a time: Pillow lets other threads run while it decodes and encodes."""
        with ThreadPoolExecutor() as threads:
            for start in range(0, len(images), AHEAD):
                yield from threads.map(self._try_shrink, images[start : start + AHEAD])

    def _try_shrink(self, image: ImageRef) -> bytes | None:
        try:
            return shrink(image, self.side)
        except UnreadableImageError:
            return None

    def _keep(self, thumbnail: bytes | None) -> int | None:
        if thumbnail is None:
            self.unreadable += 1
            return None
        digest = hashlib.sha256(thumbnail).hexdigest()
        if digest not in self._by_content:
            self._by_content[digest] = len(self.encoded)
            self.encoded.append(base64.b64encode(thumbnail).decode("ascii"))
        return self._by_content[digest]


def shrink(image: ImageRef, side: int) -> bytes:
    """The picture as WebP, its longest side at most `side` pixels.

    Raises:
        UnreadableImageError: when it cannot be opened.
    """
    from PIL import Image

    picture = image.open()
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=QUALITY)
    return stream.getvalue()
