"""What comes back from an OpenAI-compatible endpoint, read: the answer apart from the thoughts, and what is wrong in one line."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from moe_eval.chat.thoughts import ends_thoughts, split_thoughts

__all__ = ["Message", "PassingError", "Reply", "error_message", "guess_tokens", "read_reply", "seconds_to_wait"]

BROKEN_OFF = {"abort", "cancelled", "error"}
"""How servers finish an answer that they stopped in the middle."""

Message = Mapping[str, Any]
"""One turn of a conversation as OpenAI's chat API has it: `role`, and `content`, a string or parts."""


@dataclass(frozen=True)
class Reply:
    """What the model said, and what that cost in tokens, as the endpoint counts or else as we guess.

    Args:
        finish_reason: why it ended, in the server's words; None: the server does not say.
        reasoning: what it thought before, where the server or the tags of the text keep that apart.
        model: what the server calls itself.
        system_fingerprint: what answers there, in the server's words: vLLM tells its version, llama.cpp its build.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str | None = None
    reasoning: str = ""
    model: str = ""
    system_fingerprint: str = ""


class PassingError(Exception):
    """Worth another try; `retry_after` is what the server asks for, in seconds."""

    def __init__(self, reason: str, retry_after: float = 0.0):
        super().__init__(reason)
        self.retry_after = retry_after


def read_reply(content: bytes, messages: Sequence[Message]) -> Reply:
    """The reply in the body of a chat completion.

    Raises:
        PassingError: for anything else, and for half an answer.
    """
    try:
        record = json.loads(content)
        choice = record["choices"][0]
        message, finish_reason = choice["message"], choice.get("finish_reason")
        text = message["content"] or ""
        if not isinstance(text, str):
            raise TypeError(f"content is a {type(text).__name__}")
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise PassingError(f"no chat completion came back: {content[:80]!r}") from error
    if finish_reason in BROKEN_OFF:
        raise PassingError(f"half an answer came back ({finish_reason})")
    # The name of the field is a matter of taste: vLLM has had both.
    apart = next((message[name] for name in ("reasoning_content", "reasoning") if message.get(name)), "")
    thoughts, answer = split_thoughts(text, begun=ends_thoughts(text))  # some leave the opening tag in the prompt
    text = text if thoughts is None else answer
    usage = record.get("usage") or {}
    return Reply(
        text,
        prompt_tokens=_count(usage.get("prompt_tokens"), _texts(messages)),
        completion_tokens=_count(usage.get("completion_tokens"), text),
        finish_reason=finish_reason,
        reasoning=str(apart) or thoughts or "",
        model=str(record.get("model") or ""),
        system_fingerprint=str(record.get("system_fingerprint") or ""),
    )


def _texts(messages: Sequence[Message]) -> str:
    contents = [message["content"] for message in messages]
    return "".join(
        content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
        for content in contents
    )


def _count(reported: Any, text: str) -> int:
    return reported if isinstance(reported, int) and reported >= 0 else guess_tokens(text)


def guess_tokens(text: str) -> int:
    """About four characters of English make a token."""
    return len(text) // 4 + 1


def error_message(content: bytes, key: str | None) -> str:
    """What the server says is wrong, on one line; a key that it repeats is masked."""
    try:
        record = json.loads(content)
        error = record.get("error", record)
        if isinstance(error, str):
            text = error
        else:
            said = error.get("message") or error["detail"]
            text = f"{said} ({error['code']})" if error.get("code") else said
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        text = content.decode("utf-8", "replace")
    line = " ".join(str(text).split())
    return (line.replace(key, "***") if key else line)[:200] or "no reason given"


def seconds_to_wait(retry_after: str | None) -> float:
    """What a `Retry-After` header asks for: seconds from now, or a date (RFC 9110, 10.2.3); 0 where it cannot be read."""
    try:
        return max(float(retry_after or 0), 0.0)
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(retry_after or "")
    except ValueError:
        return 0.0
    return max((then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
