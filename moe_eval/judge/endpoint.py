"""A language model behind an OpenAI-compatible endpoint, asked one thing at a time and patiently.

What may pass (too many requests, a server error, a time-out, a reply that is no JSON) is tried again, later and
later; what will not (a wrong key, an unknown model, no money left) is an error at once.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from time import sleep
from typing import Any

from moe_eval.errors import UserError
from moe_eval.task import JudgeCall

__all__ = ["Endpoint", "RefusedError", "Reply"]

ATTEMPTS = 6
LONGEST_WAIT = 60.0
PASSING = {408, 409, 425, 429}
REFUSALS = {400, 413, 422}
"""What a content filter and a too long answer get. A wrong request gets it, too, but then for every answer."""


@dataclass(frozen=True)
class Reply:
    """What the model said, and what that cost in tokens, as the endpoint counts or else as we guess."""

    text: str
    prompt_tokens: int
    completion_tokens: int


class RefusedError(UserError):
    """The endpoint does not read this one answer (a content filter, its length); others it may."""


class _PassingError(Exception):
    """Worth another try; `retry_after` is what the server asks for, in seconds."""

    def __init__(self, reason: str, retry_after: float = 0.0):
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible endpoint.

    Args:
        url: up to and including the version: `https://api.openai.com/v1`.
        model: the model's name there.
        key: sent as bearer token if there is one.
        timeout: seconds without an answer after which a call counts as lost.
        pause: how to wait, in seconds; tests do not.
    """

    url: str
    model: str
    key: str | None = None
    timeout: float = 60.0
    pause: Callable[[float], None] = sleep

    def ask(self, call: JudgeCall) -> Reply:
        """The reply to one call. Safe to use from several threads.

        Raises:
            UserError: for what another try would not mend, and when six tries have failed.
        """
        from tenacity import (
            RetryCallState,
            Retrying,
            retry_if_exception_type,
            stop_after_attempt,
            wait_random_exponential,
        )

        backoff = wait_random_exponential(multiplier=1, max=LONGEST_WAIT)

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked_for = error.retry_after if isinstance(error, _PassingError) else 0.0
            return max(min(asked_for, LONGEST_WAIT), backoff(state))

        patiently = Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait,
            retry=retry_if_exception_type(_PassingError),
            sleep=self.pause,
            reraise=True,
        )
        try:
            return patiently(self._ask_once, call)
        except _PassingError as error:
            raise UserError(
                f"judge {self.model} at {self.url}: {ATTEMPTS} tries failed, the last one: {error}"
            ) from error

    def _ask_once(self, call: JudgeCall) -> Reply:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": call.prompt}],
            "temperature": call.temperature,
            "max_tokens": call.max_tokens,
        }
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self.key}"} if self.key else {})}
        # JSON escapes, so that an answer with half a surrogate pair can be sent, too.
        try:
            request = urllib.request.Request(f"{self.url}/chat/completions", json.dumps(body).encode(), headers)
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            raise self._refusal(error) from error
        except (OSError, HTTPException) as error:  # no connection, a broken one, a time-out
            raise _PassingError(f"{type(error).__name__}: {getattr(error, 'reason', error)}") from error
        except ValueError as error:
            raise UserError(f"judge: {self.url} is no URL ({error}); such as https://api.openai.com/v1") from error
        return _read(content, call)

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        with error:
            message = _message(error.read())
        if (error.code in PASSING and "insufficient_quota" not in message) or error.code >= 500:
            return _PassingError(f"status {error.code}: {message}", _seconds(error.headers.get("Retry-After")))
        if error.code in REFUSALS:
            return RefusedError(f"judge {self.model} at {self.url}: status {error.code}: {message}")
        hint = "; is the key right?" if error.code in (401, 403) else ""
        return UserError(f"judge {self.model} at {self.url}: status {error.code}: {message}{hint}")


def _read(content: bytes, call: JudgeCall) -> Reply:
    try:
        record = json.loads(content)
        text = record["choices"][0]["message"]["content"] or ""
        if not isinstance(text, str):
            raise TypeError(f"content is a {type(text).__name__}")
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise _PassingError(f"no chat completion came back: {content[:80]!r}") from error
    usage = record.get("usage") or {}
    return Reply(
        text,
        prompt_tokens=_count(usage.get("prompt_tokens"), call.prompt),
        completion_tokens=_count(usage.get("completion_tokens"), text),
    )


def _count(reported: Any, text: str) -> int:
    return reported if isinstance(reported, int) else guess_tokens(text)


def guess_tokens(text: str) -> int:
    """About four characters of English make a token."""
    return len(text) // 4 + 1


def _message(content: bytes) -> str:
    """What the server says is wrong, on one line."""
    try:
        error = json.loads(content)["error"]
        text = f"{error['message']} ({error['code']})" if error.get("code") else error["message"]
    except (ValueError, KeyError, TypeError, AttributeError):
        text = content.decode("utf-8", "replace")
    return " ".join(str(text).split())[:200] or "no reason given"


def _seconds(retry_after: str | None) -> float:
    try:
        return max(float(retry_after or 0), 0.0)
    except ValueError:  # a date: the backoff will do
        return 0.0
