"""A model behind an OpenAI-compatible endpoint, asked one thing at a time and patiently.

What may pass (too many requests, a server error, a time-out, a reply that is no JSON) is tried again, later and
later; what will not (a wrong key, an unknown model, no money left) is an error at once.
"""

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from http.client import HTTPException
from threading import Event
from typing import Any

from moe_eval.chat.reply import Message, PassingError, Reply, error_message, read_reply, seconds_to_wait
from moe_eval.errors import UserError, unknown

__all__ = ["Endpoint", "RefusedError", "before_another_try"]

ATTEMPTS = 6
LONGEST_WAIT = 60.0
PASSING = {408, 409, 425, 429}
REFUSALS = {400, 413, 422}
"""What a content filter and a too long question get. A wrong request gets it, too, but then for every question."""
VERSION = "the URL goes up to and including the version, such as https://api.openai.com/v1"

LARGEST_REPLY = 1 << 24
"""Bytes; what goes on for longer is no answer."""

before_another_try: ContextVar[Callable[[], None]] = ContextVar("before_another_try", default=lambda: None)
"""Called in the thread that asks before every try but the first: whoever counts what is paid may refuse another."""


class RefusedError(UserError):
    """The endpoint does not answer this one question (a content filter, its length); others it may."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Somewhere else is not where the key was meant to go."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible endpoint.

    Args:
        url: up to and including the version: `https://api.openai.com/v1`.
        model: the model's name there.
        key: sent as bearer token if there is one; never shown.
        timeout: seconds after which a try counts as lost, however slowly its reply still drips.
        pause: how to wait, in seconds; tests do not. None: until the time is over or `given_up` is set.
        role: what it is to us, for messages.
        extra: fields of every request beside the usual ones.
        given_up: once set, nobody waits for another try.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 60.0
    pause: Callable[[float], None] | None = None
    role: str = "judge"
    extra: Mapping[str, Any] = field(default_factory=dict)
    given_up: Event = field(default_factory=Event, repr=False, compare=False)

    @property
    def title(self) -> str:
        return f"{self.role} {self.model} at {self.url}"

    def ask(self, messages: Sequence[Message], temperature: float, max_tokens: int) -> Reply:
        """The reply to a conversation. Safe to use from several threads.

        Raises:
            RefusedError: when the endpoint does not answer this question.
            UserError: for what another try would not mend, and when six tries have failed.
        """
        from tenacity import (
            RetryCallState,
            Retrying,
            retry_if_exception_type,
            sleep_using_event,
            stop_after_attempt,
            stop_when_event_set,
            wait_random_exponential,
        )

        backoff = wait_random_exponential(multiplier=1, max=LONGEST_WAIT)

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked_for = error.retry_after if isinstance(error, PassingError) else 0.0
            return max(min(asked_for, LONGEST_WAIT), backoff(state))

        def count(state: RetryCallState) -> None:
            if state.attempt_number > 1:
                before_another_try.get()()

        patiently = Retrying(
            before=count,
            stop=stop_after_attempt(ATTEMPTS) | stop_when_event_set(self.given_up),
            wait=wait,
            retry=retry_if_exception_type(PassingError),
            sleep=self.pause or sleep_using_event(self.given_up),
            reraise=True,
        )
        try:
            return patiently(self._ask_once, messages, temperature, max_tokens)
        except PassingError as error:
            raise UserError(f"{self.title}: {ATTEMPTS} tries failed, the last one: {error}") from error

    def models(self) -> list[str] | None:
        """The names that the server lists; None where it lists none. One try, to find a wrong URL or key early.

        Raises:
            UserError: when nobody answers, or the key is refused.
        """
        try:
            listed = json.loads(self._fetch("models", None))["data"]
            return sorted(str(one["id"]) for one in listed)
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise self._refusal(error) from error
            error.close()
            return None  # not every server has a list
        except PassingError as error:
            raise UserError(f"{self.title}: no answer ({error}); is the server running, and the URL right?") from error
        except (ValueError, KeyError, TypeError):
            return None

    def _ask_once(self, messages: Sequence[Message], temperature: float, max_tokens: int) -> Reply:
        body = {"model": self.model, "messages": messages, "temperature": temperature, "max_tokens": max_tokens}
        body |= self.extra
        try:
            content = self._fetch("chat/completions", body)
        except urllib.error.HTTPError as error:
            raise self._refusal(error) from error
        reply = read_reply(content, messages)
        if reply.finish_reason == "content_filter":
            raise RefusedError(f"{self.title}: its content filter stopped the answer")
        return reply

    def _fetch(self, path: str, body: Mapping[str, Any] | None) -> bytes:
        """What the server sends within the time; HTTPError for a status that is none of success."""
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self.key}"} if self.key else {})}
        # JSON escapes, so that an answer with half a surrogate pair can be sent, too.
        data = None if body is None else json.dumps(body).encode()
        end = time.monotonic() + self.timeout
        try:
            request = urllib.request.Request(f"{self.url}/{path}", data, headers)
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=self.timeout) as response:
                content = bytearray()
                while piece := response.read1():
                    content += piece
                    if len(content) > LARGEST_REPLY:
                        raise HTTPException(f"the reply goes on after {LARGEST_REPLY >> 20} MiB")
                    if time.monotonic() > end:
                        raise TimeoutError(f"no whole reply within {self.timeout:g} seconds")
                return bytes(content)
        except urllib.error.HTTPError:
            raise
        except (OSError, HTTPException) as error:  # no connection, a broken one, a time-out
            raise PassingError(f"{type(error).__name__}: {getattr(error, 'reason', error)}") from error
        except ValueError as error:
            raise UserError(f"{self.role}: {self.url} is no URL ({error}); {VERSION}") from error

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        with error:
            message = error_message(error.read(LARGEST_REPLY), self.key)
        if (error.code in PASSING and "insufficient_quota" not in message) or error.code >= 500:
            return PassingError(f"status {error.code}: {message}", seconds_to_wait(error.headers.get("Retry-After")))
        said = f"{self.title}: status {error.code}: {message}"
        if 300 <= error.code < 400:
            target = error.headers.get("Location", "another address")
            return UserError(f"{said}; it sends to {target}, which is not followed: name that URL if you trust it")
        if error.code in REFUSALS and not re.search(r"model\W.*(not exist|not found|unknown)", message, re.IGNORECASE):
            return RefusedError(said)
        if error.code in (401, 403):
            return UserError(
                f"{said} (is the key right?)" if self.key else f"{said} (it wants a key, and none was sent)"
            )
        return UserError(f"{said}; {self._way_out()}")

    def _way_out(self) -> str:
        """What may be wrong when a name or a path is unknown to the server."""
        try:
            names = self.models()
        except UserError:
            names = None
        if names and self.model not in names:
            return str(unknown("model", self.model, names))
        return VERSION
