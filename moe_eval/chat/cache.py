"""What servers have said, on disk, so that nothing is asked twice: not by a restart, and not by another run."""

import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from threading import Lock
from typing import Any

from moe_eval.chat.endpoint import Endpoint
from moe_eval.chat.reply import Reply
from moe_eval.errors import UserError

__all__ = ["ReplyCache", "call_key"]

TEXT = "reply"
"""What the file calls a reply's `text`."""


def call_key(*parts: Any) -> str:
    """SHA-256 over everything that makes a call the same call, in plain JSON values."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class ReplyCache:
    """Replies of one endpoint and model, in an append-only file of JSON lines.

    Args:
        folder: created if missing; one file per endpoint and model.
        today: the day that new replies are marked with, ISO 8601; empty: none.

    Raises:
        UserError: when the folder or the file cannot be used.

    Attributes:
        last_day: the latest day of the replies that were asked for, empty if none is known.
    """

    def __init__(self, folder: Path, endpoint: Endpoint, today: str = ""):
        name = re.sub(r"[^\w.-]+", "-", f"{endpoint.model}-{endpoint.url.split('://')[-1]}").strip("-")
        self.path = folder / f"{name}.jsonl"
        self.last_day = ""
        self._today = today
        self._days: dict[str, str] = {}
        self._replies: dict[str, Reply] = {}
        self._asking: defaultdict[str, Lock] = defaultdict(Lock)
        self._lock = Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        except OSError as error:
            raise UserError(
                f"{self.path}: cannot be used ({error.strerror}); name another folder with --cache"
            ) from error
        for line in lines:
            try:
                record = json.loads(line)
                known = {field.name: record[field.name] for field in fields(Reply) if field.name in record}
                self._replies[record["key"]] = Reply(record[TEXT], **known)
                self._days[record["key"]] = str(record.get("day", ""))
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # torn by a kill or a full disk: it is asked again

    def find(self, key: str) -> Reply | None:
        """The stored reply to the call of that key, if there is one."""
        return self._replies.get(key)

    def get(self, key: str, ask: Callable[[], Reply]) -> Reply:
        """The stored reply, or else what `ask` says, stored before it is returned; asked once for all threads."""
        with self._lock:
            asking = self._asking[key]
        with asking:
            if key not in self._replies:
                reply = ask()
                self._store(key, reply)
                self._replies[key], self._days[key] = reply, self._today
            with self._lock:
                self.last_day = max(self.last_day, self._days[key])
            return self._replies[key]

    def _store(self, key: str, reply: Reply) -> None:
        told = {name: value for name, value in asdict(reply).items() if value not in (None, "")}
        record = {"key": key, "day": self._today, TEXT: told.pop("text", ""), **told}
        # The line end comes first, too: a line that was torn before must not swallow this one.
        line = b"\n" + json.dumps(record).encode() + b"\n"
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise UserError(f"{self.path}: cannot write ({error.strerror}); free some space and start again") from error
