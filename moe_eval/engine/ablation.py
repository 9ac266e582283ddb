"""Asking with something taken away, to see how much of a score it explains: `--ablate image=grey`.

A yes/no task that stays above chance without its pictures measures guessing from the words.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from moe_eval.engine.backend import Request
from moe_eval.errors import unknown
from moe_eval.images import ImageRef

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ABLATIONS", "GreyImage", "find_ablation"]

GREY = (128, 128, 128)


@dataclass(frozen=True, slots=True)
class GreyImage:
    """A picture of one grey (128 of 255 in each channel) in the name and size of another."""

    original: ImageRef

    @property
    def name(self) -> str:
        return self.original.name

    def open(self) -> "Image":
        """The grey picture; an original that cannot be opened stays an error, so that both runs ask the same questions."""
        from PIL import Image

        return Image.new("RGB", self.original.open().size, GREY)


def _grey(request: Request) -> Request:
    return replace(request, images=tuple(GreyImage(image) for image in request.images))


def _without_images(request: Request) -> Request:
    return replace(request, images=(), text=request.text.replace("<image>", "").lstrip())


def _of_others(images: Iterable[ImageRef]) -> Callable[[Request], Request]:
    """Each picture stands for another: the next in one random circle of all."""
    by_name = {image.name: image for image in images}
    circle = sorted(by_name)
    random.Random(0).shuffle(circle)
    other = {name: by_name[following] for name, following in zip(circle, circle[1:] + circle[:1], strict=True)}
    return lambda request: replace(request, images=tuple(other[image.name] for image in request.images))


ABLATIONS: dict[str, Callable[[Iterable[ImageRef]], Callable[[Request], Request]]] = {
    "image=grey": lambda images: _grey,
    "image=none": lambda images: _without_images,
    "image=shuffled": _of_others,
}
"""What is asked instead of a request, by the name that `--ablate` takes and `run.json` records; made from all pictures."""


def find_ablation(name: str, images: Iterable[ImageRef] = ()) -> Callable[[Request], Request]:
    """The ablation of that name.

    Args:
        images: all pictures of the data set, as requests have them.

    Raises:
        UserError: naming the ones that exist.
    """
    if name not in ABLATIONS:
        raise unknown("ablation", name, ABLATIONS)
    return ABLATIONS[name](images)
