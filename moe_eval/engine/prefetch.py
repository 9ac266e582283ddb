"""Opening pictures in threads, ahead of the model that looks at them."""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from moe_eval.engine.backend import Request, Unanswered
from moe_eval.errors import UnreadableImageError
from moe_eval.images import ImageRef

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["open_images"]


def open_images(
    requests: Iterable[Request], ahead: int, threads: int = 4
) -> "Iterator[tuple[Request, list[Image]] | Unanswered]":
    """Every request with its pictures, in order; `ahead` requests are prepared before they are asked for.

    A picture that neighbouring requests share is opened once.
    """
    opened: OrderedDict[ImageRef, Future[Image]] = OrderedDict()
    waiting: deque[tuple[Request, list[Future[Image]]]] = deque()
    source = iter(requests)
    with ThreadPoolExecutor(threads, thread_name_prefix="open-images") as pool:

        def submit(image: ImageRef) -> "Future[Image]":
            if image not in opened:
                opened[image] = pool.submit(image.open)
                if len(opened) > ahead:
                    opened.popitem(last=False)
            return opened[image]

        def prepare(count: int) -> None:
            for request in islice(source, count):
                waiting.append((request, [submit(image) for image in request.images]))

        prepare(ahead)
        while waiting:
            request, futures = waiting.popleft()
            prepare(1)
            try:
                yield request, [future.result() for future in futures]
            except UnreadableImageError as error:
                yield Unanswered(request.id, str(error))
