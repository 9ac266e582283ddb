"""A model behind an OpenAI-compatible server with pictures, `openai:NAME@URL`: vLLM, SGLang, llama.cpp, hosted models, ours.

Several questions are in work at once; each answer is kept in a cache before anybody sees it, so nothing is asked twice.
What the server does with a picture (its size, padding) is its own business; it gets every pixel, as PNG.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from moe_eval.chat.budget import Budget, Purse
from moe_eval.chat.cache import ReplyCache, call_key
from moe_eval.chat.endpoint import Endpoint, RefusedError
from moe_eval.chat.messages import chat_messages
from moe_eval.chat.reply import Message, Reply, guess_tokens
from moe_eval.chat.thoughts import SWITCHES
from moe_eval.engine.backend import Answer, ModelInfo, Request, Response, Unanswered
from moe_eval.engine.elsewhere import AnsweredElsewhere
from moe_eval.engine.prefetch import open_images
from moe_eval.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ServerBackend", "ServerOptions", "ServerSource"]

NAME = re.compile(r"openai:(?P<model>.+?)@(?P<url>https?://.+)")
REFUSED_IN_A_ROW = 8
"""So many refusals and no answer yet: it is not the questions, and the rest need not be tried."""
PICTURE_TOKENS = 576
"""What a picture is guessed to cost before the server says it."""


@dataclass(frozen=True)
class ServerOptions:
    """What `--engine-args` can say about a server.

    Args:
        concurrency: questions in work at the same time.
        timeout: seconds that a try may take in all.
        key: the environment variable that holds the key.
        max_calls: ask at most so often in one process.
        max_tokens: spend at most so many tokens, in and out, in one process.
        cache: folder of everything that servers have said.
        add_special_tokens: ask vLLM to begin a prompt as the tokenizer does, where the chat template does not; others do so
            anyway, or refuse the field.
    """

    concurrency: Annotated[int, Field(ge=1)] = 8
    timeout: Annotated[float, Field(gt=0)] = 120.0
    key: str = "OPENAI_API_KEY"
    max_calls: Annotated[int, Field(ge=0)] | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    cache: Path = Path("results/replies")
    add_special_tokens: bool = False


@dataclass(frozen=True)
class ServerSource(AnsweredElsewhere):
    """A model by its server.

    Args:
        name: `openai:NAME@URL`, the URL up to and including the version.
        options: how it is asked.
        label: what it is called in folders and tables; None: its name.

    Raises:
        UserError: for a name of another shape, one with a password in it, and a variable for the key that is not set.
    """

    name: str
    options: ServerOptions = ServerOptions()
    label: str | None = None

    def __post_init__(self) -> None:
        match = NAME.fullmatch(self.name)
        if match is None:
            raise UserError(f"{self.name}: openai:NAME@URL is wanted, such as openai:my-model@http://localhost:8000/v1")
        if re.search("[@?#]", match["url"]):
            raise UserError(
                "openai:NAME@URL: the URL holds a password or more than an address, which would be written into run.json; "
                "put the key into the environment (--engine-args key=VARIABLE)"
            )
        variable = self.options.key
        if variable != ServerOptions.key and not os.environ.get(variable):
            # Not repeated: it may be the key itself.
            raise UserError("--engine-args key=…: names no environment variable that is set; put the key into one")

    @property
    def whereabouts(self) -> str:
        return "behind a server; nothing is loaded here"

    @property
    def endpoint(self) -> Endpoint:
        match = NAME.fullmatch(self.name)
        assert match is not None
        key = os.environ.get(self.options.key) or None
        url = match["url"].rstrip("/")
        extra = {"add_special_tokens": True} if self.options.add_special_tokens else {}
        return Endpoint(url, match["model"], key, self.options.timeout, role="model", extra=extra)

    def backend(self) -> "ServerBackend":
        """What asks it."""
        return ServerBackend(self)


class ServerBackend:
    """Asks a server.

    A question that the server refuses (its content filter, its context) stays unanswered; the others are asked all the same.

    Args:
        source: which server, and how it is asked.
    """

    def __init__(self, source: ServerSource):
        self._source = source
        self._endpoint = source.endpoint
        options = source.options
        self._purse = Purse(Budget(options.max_calls, options.max_tokens), self._endpoint.title)
        self._forget()

    def _forget(self) -> None:
        """What is told is of one run, though the budget is of all."""
        self._paid: list[tuple[int, int]] = []  # tokens in and out, per call
        self._names: set[str] = set()
        self._fingerprints: set[str] = set()

    def describe(self) -> ModelInfo:
        """Its name; of its weights nothing is known, so the fingerprint is that of the name the server is asked for."""
        digest = hashlib.sha256(self._endpoint.model.encode()).hexdigest()
        name = self._source.title
        return ModelInfo(
            name,
            family="server",
            weights_fingerprint=f"sha256:{digest}",
            backend="openai",
            dtype="unknown",
            source=self._source.name if name != self._source.name else None,
        )

    def told(self) -> dict[str, str | int]:
        """What the server calls itself and its software, and what was used: calls and tokens, without the cache's."""
        tokens_in, tokens_out = (sum(tokens) for tokens in zip((0, 0), *self._paid, strict=True))
        used = {"calls": len(self._paid), "prompt_tokens": tokens_in, "completion_tokens": tokens_out}
        said = {"server": self._names - {""}, "system_fingerprint": self._fingerprints - {""}}
        return {**{name: ", ".join(sorted(words)) for name, words in said.items() if words}, **used}

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Each answer as soon as it is there.

        Raises:
            UserError: when the server is not there, or gives up; what was answered until then has been handed over.
        """
        given_up, concurrency = self._endpoint.given_up, self._source.options.concurrency
        given_up.clear()
        self._forget()
        answered = False
        refused = 0
        waiting: set[Future[Answer]] = set()
        with ThreadPoolExecutor(concurrency, thread_name_prefix="ask-server") as pool:
            try:
                for number, item in zip(count(), open_images(requests, ahead=2 * concurrency), strict=False):
                    if number == 0:
                        self._endpoint.models()  # finds a wrong URL or key before anything is tried six times
                    if isinstance(item, Unanswered):
                        yield item
                        continue
                    waiting.add(pool.submit(self._answer, *item))
                    if len(waiting) < concurrency:
                        continue
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for answer in _handed_over(done):
                        answered = answered or isinstance(answer, Response)
                        refused += isinstance(answer, Unanswered)
                        yield answer
                        if refused >= REFUSED_IN_A_ROW and not answered and isinstance(answer, Unanswered):
                            raise UserError(
                                f"{answer.reason}. It refused the first {refused} questions, so no more are asked"
                            )
                while waiting:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from _handed_over(done)
            finally:
                given_up.set()
                pool.shutdown(cancel_futures=True)

    def _answer(self, request: Request, images: "list[Image]") -> Answer:
        messages = chat_messages(request.text, images, request.system)
        endpoint = _thinking(self._endpoint, request.thinking)
        expected = guess_tokens(request.text) + PICTURE_TOKENS * len(images) + request.max_new_tokens
        ask = partial(self._ask, endpoint, messages, request.max_new_tokens)
        switched = [] if request.thinking is None else [f"thinking={request.thinking}"]
        try:
            reply = self._cache.get(
                call_key(messages, 0, request.max_new_tokens, *self._endpoint.extra, *switched),
                partial(self._purse.pay, expected, ask),
            )
        except RefusedError as error:
            return Unanswered(request.id, str(error), failed=True)
        except UserError as error:
            self._endpoint.given_up.set()  # here, so that no other thread tries on before the error is seen
            raise UserError(f"{error}; what was answered is kept, and the same command goes on") from error
        self._names.add(reply.model)
        self._fingerprints.add(reply.system_fingerprint)
        return Response(
            request.id,
            reply.text.strip(),
            tokens=reply.completion_tokens,
            finish_reason="length" if reply.finish_reason == "length" else "stop",
            reasoning=reply.reasoning or None,
        )

    def _ask(self, endpoint: Endpoint, messages: list[Message], max_tokens: int) -> Reply:
        reply = endpoint.ask(messages, 0, max_tokens)
        self._paid.append((reply.prompt_tokens, reply.completion_tokens))
        return reply

    @cached_property
    def _cache(self) -> ReplyCache:
        return ReplyCache(self._source.options.cache, self._endpoint)


def _thinking(endpoint: Endpoint, wanted: bool | None) -> Endpoint:
    """The endpoint, told whether to think in the field of vLLM's and SGLang's; others may refuse it, so unasked it is not sent."""
    if wanted is None:
        return endpoint
    switches = {"chat_template_kwargs": dict.fromkeys(SWITCHES, wanted)}
    return replace(endpoint, extra={**endpoint.extra, **switches})


def _handed_over(done: set[Future[Answer]]) -> Iterator[Answer]:
    """Answers first, then the first error: what is answered is kept."""
    yield from (future.result() for future in done if future.exception() is None)
    for future in done:
        future.result()
