"""Asking with something taken away, to see how much of a score it explains: `--ablate image=grey`, `--ablate expert=0:3`.

A yes/no task that stays above chance without its pictures measures guessing from the words. An expert without which no
score falls is worth nothing.
"""

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from moe_eval.engine.backend import Request
from moe_eval.errors import UserError, unknown
from moe_eval.images import ImageRef

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ABLATIONS", "OTHER_ORDER", "GreyImage", "Pruning", "find_ablation", "find_pruning", "prune"]

GREY = (128, 128, 128)

OTHER_ORDER = "options=shuffled"
"""Options in another order: what is right changes, too, so it is the question that is altered, before there is a request."""


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
    if len(by_name) == 1:
        raise UserError("image=shuffled: needs two pictures or more; ask more questions")
    circle = sorted(by_name)
    random.Random(0).shuffle(circle)
    other = {name: by_name[following] for name, following in zip(circle, circle[1:] + circle[:1], strict=True)}
    return lambda request: replace(request, images=tuple(other[image.name] for image in request.images))


ABLATIONS: dict[str, Callable[[Iterable[ImageRef]], Callable[[Request], Request]]] = {
    "image=grey": lambda images: _grey,
    "image=none": lambda images: _without_images,
    "image=shuffled": _of_others,
    OTHER_ORDER: lambda images: lambda request: request,
}
"""What is asked instead of a request, by the name that `--ablate` takes and `run.json` records; made from all pictures."""


def find_ablation(name: str, images: Iterable[ImageRef] = ()) -> Callable[[Request], Request]:
    """What is asked instead of a request; where experts are taken away, the request itself.

    Args:
        images: all pictures of the data set, as requests have them.

    Raises:
        UserError: naming the ones that exist.
    """
    if find_pruning(name) is not None:
        return lambda request: request
    if name not in ABLATIONS:
        raise unknown("ablation", name, [*ABLATIONS, "expert=LAYER:EXPERT", "top_k=N"])
    return ABLATIONS[name](images)


@dataclass(frozen=True)
class Pruning:
    """Experts that are taken away from a model.

    Args:
        experts: (layer, expert) pairs, both from 0.
        top_k: experts per token that stay; None: all.
    """

    experts: tuple[tuple[int, int], ...]
    top_k: int | None


def find_pruning(name: str | None) -> Pruning | None:
    """What an ablation such as `expert=0:3,expert=2:1` or `top_k=1` takes away from a model; None: nothing.

    Raises:
        UserError: for something that begins so and goes on otherwise.
    """
    if name is None or not name.startswith(("expert=", "top_k=")):
        return None
    experts, top_k = [], None
    for part in name.split(","):
        if found := re.fullmatch(r"expert=(\d+):(\d+)", part):
            experts.append((int(found[1]), int(found[2])))
        elif (found := re.fullmatch(r"top_k=(\d+)", part)) and top_k is None:
            top_k = int(found[1])
        else:
            raise UserError(f"--ablate {name}: {part!r} is neither expert=LAYER:EXPERT nor top_k=N")
    return Pruning(tuple(experts), top_k)


def prune(model: Any, name: str, title: str) -> list[Any]:
    """Take away from a loaded model what an ablation names, until the handles that come back are removed.

    Args:
        title: of the model, for messages.

    Raises:
        UserError: for a dense model, and for experts that it has not.
    """
    from moellava import pruning

    wanted = find_pruning(name)
    assert wanted is not None  # the caller has looked
    try:
        return pruning.prune(model.get_decoder(), wanted.experts, wanted.top_k)
    except ValueError as error:
        raise UserError(f"--ablate {name}: model {title}: {error}") from error
