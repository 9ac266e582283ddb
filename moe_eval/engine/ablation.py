"""Asking with something taken away, to see how much of a score it explains: `--ablate image=grey`.

A yes/no task that stays above chance without its pictures measures guessing from the words.
"""

from collections.abc import Callable
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


ABLATIONS: dict[str, Callable[[Request], Request]] = {"image=grey": _grey, "image=none": _without_images}
"""What is asked instead of a request, by the name that `--ablate` takes and `run.json` records."""


def find_ablation(name: str) -> Callable[[Request], Request]:
    """The ablation of that name.

    Raises:
        UserError: naming the ones that exist.
    """
    if name not in ABLATIONS:
        raise unknown("ablation", name, ABLATIONS)
    return ABLATIONS[name]
