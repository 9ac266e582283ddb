"""A Python function as a backend: `(pictures, text) -> answer`, for models that nothing here knows how to load."""

import hashlib
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from moe_eval.engine.backend import Answer, ModelInfo, Request, Response, Unanswered
from moe_eval.engine.prefetch import open_images
from moe_eval.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FunctionBackend"]


class FunctionBackend:
    """Asks the function one question after the other.

    An exception in it leaves that question unanswered, with the reason; the others are asked all the same.

    Args:
        function: gets the pictures (RGB) and the text of the user turn; gives the answer.
        name: in folders and tables. Default: the function's own.
    """

    def __init__(self, function: "Callable[[list[Image], str], str]", name: str | None = None):
        self._function = function
        self.name = name or getattr(function, "__name__", type(function).__name__).strip("<>")

    def describe(self) -> ModelInfo:
        """Its name, and as fingerprint of its weights the SHA-256 of its source, so that a changed function is noticed."""
        try:
            source = inspect.getsource(self._function)
        except (OSError, TypeError):  # an object, or typed into a prompt
            source = self.name
        digest = hashlib.sha256(source.encode()).hexdigest()
        return ModelInfo(self.name, "function", f"sha256:{digest}", backend="function", dtype="unknown")

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answers in the order of the requests.

        Raises:
            UserError: when log-probabilities are wanted.
        """
        for item in open_images(requests, ahead=16):
            yield item if isinstance(item, Unanswered) else self._answer(*item)

    def _answer(self, request: Request, images: "list[Image]") -> Answer:
        if request.continuations:
            raise UserError(f"{self.name}: a function gives no log-probabilities; use another protocol than likelihood")
        try:
            text = self._function(images, request.text)
        except Exception as error:  # somebody else's code: anything may go wrong in it
            return Unanswered(request.id, f"{type(error).__name__}: {error}", failed=True)
        if not isinstance(text, str):
            return Unanswered(request.id, f"{self.name} gave a {type(text).__name__}, not a string", failed=True)
        return Response(request.id, text.strip(), tokens=len(text.split()), finish_reason="stop")
