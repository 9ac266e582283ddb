"""Pictures are opened ahead, once, and in order."""

import threading
from dataclasses import dataclass, field

from PIL import Image

from moe_eval.engine.backend import Request, Unanswered
from moe_eval.engine.prefetch import open_images
from moe_eval.errors import UnreadableImageError


@dataclass(eq=False)
class CountedImage:
    name: str
    opened: int = 0
    broken: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self) -> Image.Image:
        with self.lock:
            self.opened += 1
        if self.broken:
            raise UnreadableImageError(self.name, "broken")
        return Image.new("RGB", (2, 2))


def make_requests(images: list[CountedImage], per_image: int) -> list[Request]:
    return [
        Request(f"{image.name}.{number}", (image,), "?", max_new_tokens=1)
        for image in images
        for number in range(per_image)
    ]


def test_shared_pictures_are_opened_once_and_order_is_kept():
    images = [CountedImage(str(number)) for number in range(5)]
    requests = make_requests(images, per_image=4)
    answers = list(open_images(requests, ahead=6))
    assert [request for request, _ in answers] == requests
    assert [image.opened for image in images] == [1] * 5


def test_no_more_than_a_window_is_read_ahead():
    taken = []

    def source():
        for request in make_requests([CountedImage(str(number)) for number in range(20)], per_image=1):
            taken.append(request)
            yield request

    next(open_images(source(), ahead=3))
    assert len(taken) <= 4


def test_a_broken_picture_spoils_its_own_requests_only():
    images = [CountedImage("good"), CountedImage("bad", broken=True), CountedImage("fine")]
    answers = list(open_images(make_requests(images, per_image=2), ahead=3))
    assert [type(answer) is Unanswered for answer in answers] == [False, False, True, True, False, False]
    assert answers[2] == Unanswered("bad.0", "bad: broken")
