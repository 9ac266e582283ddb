"""What a judge has said, on disk, so that nothing is asked twice: not by a restart, and not by another run."""

import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from moe_eval.errors import UserError
from moe_eval.judge.endpoint import Endpoint, Reply
from moe_eval.task import JudgeCall

__all__ = ["ReplyCache"]


class ReplyCache:
    """Replies of one endpoint and model, in an append-only file of JSON lines.

    A call is the same if prompt, temperature, length limit, run of the judge and place in the dialogue are the same:
    five runs are five calls, and a judge that is asked again is really asked again.

    Args:
        folder: created if missing; one file per endpoint and model.
        today: the day that new replies are marked with, ISO 8601; empty: none.

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
                self._replies[record["key"]] = Reply(
                    record["reply"], record["prompt_tokens"], record["completion_tokens"]
                )
                self._days[record["key"]] = str(record.get("day", ""))
            except (ValueError, KeyError, TypeError):
                continue  # torn by a kill or a full disk: it is asked again

    def find(self, call: JudgeCall, run: int, place: int) -> Reply | None:
        """The stored reply, if there is one."""
        return self._replies.get(_key(call, run, place))

    def get(self, call: JudgeCall, run: int, place: int, ask: Callable[[JudgeCall], Reply]) -> Reply:
        """The stored reply, or else what `ask` says, stored before it is returned; asked once for all threads."""
        key = _key(call, run, place)
        with self._lock:
            asking = self._asking[key]
        with asking:
            if key not in self._replies:
                reply = ask(call)
                self._store(key, reply)
                self._replies[key], self._days[key] = reply, self._today
            with self._lock:
                self.last_day = max(self.last_day, self._days[key])
            return self._replies[key]

    def _store(self, key: str, reply: Reply) -> None:
        record = {
            "key": key,
            "day": self._today,
            "reply": reply.text,
            **{n: getattr(reply, n) for n in ("prompt_tokens", "completion_tokens")},
        }
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


def _key(call: JudgeCall, run: int, place: int) -> str:
    parts = [call.prompt, call.temperature, call.max_tokens, run, place]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
