"""A backend without a model: answers are a function of the request."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import log

from moe_eval.engine.backend import Answer, ModelInfo, Parameters, Request, Response, Unanswered
from moe_eval.engine.prefetch import open_images

__all__ = ["FAKE_MODEL", "FakeBackend", "KilledError"]

FAKE_MODEL = ModelInfo(
    name="fake",
    family="fake",
    weights_fingerprint="sha256:0",
    backend="fake",
    dtype="float32",
    llm="none",
    image_size=336,
    parameters=Parameters(total=1_800_000, activated=1_300_000, llm_total=1_500_000, llm_activated=1_000_000),
    random_weights=True,
)


class KilledError(Exception):
    """Stands for whatever ends a process in the middle of a run."""


@dataclass
class FakeBackend:
    """Answers `answer(request)`, which of given continuations gets nine tenths; dies after `dies_after` answers; takes `seconds` for each.

    Attributes:
        asked: ids of the requests that were answered, in order.
    """

    answer: Callable[[Request], str] = lambda request: "Yes"
    dies_after: int | None = None
    seconds: float = 0.0
    info: ModelInfo = FAKE_MODEL
    asked: list[str] = field(default_factory=list)

    def describe(self) -> ModelInfo:
        return self.info

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        for item in open_images(requests, ahead=8):
            if isinstance(item, Unanswered):
                yield item
                continue
            if self.dies_after is not None and len(self.asked) == self.dies_after:
                raise KilledError
            time.sleep(self.seconds)
            request, _ = item
            self.asked.append(request.id)
            text = self.answer(request)
            others = max(len(request.continuations) - 1, 1)
            measured = {words: log(0.9 if words == text else 0.1 / others) for words in request.continuations}
            yield Response(request.id, text, tokens=2, finish_reason="stop", log_probabilities=measured or None)
