"""A local OpenAI-compatible server that answers as a script says, faults included: a judge, or a model that is evaluated."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Fault", "JudgeServer"]


@dataclass(frozen=True)
class Fault:
    """What comes instead of a chat completion.

    Args:
        status: of the HTTP reply.
        body: sent as it is.
        headers: beside the usual ones.
        delay: seconds before anything is sent.
        drip: seconds between two bytes of the body.
        hang_up: close the connection without a word.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drip: float = 0.0
    hang_up: bool = False


@dataclass
class JudgeServer:
    """Serves `/v1/chat/completions`.

    Args:
        script: from the body of a request and the number of requests before it to the reply, or a fault.
        usage: tokens that it claims to have used, or None: it does not say.
        models: names that `/v1/models` lists; None: there is no such list.

    Attributes:
        requests: bodies of everything that was asked, and `keys`, the authorization of each.
        most_at_once: how many requests were in work at the same time.
    """

    script: Callable[[dict[str, Any], int], str | Fault | None]
    usage: dict[str, int] | None = None
    models: list[str] | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    most_at_once: int = 0

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host}:{port}/v1"

    def __enter__(self) -> "JudgeServer":
        self._lock, self._working = threading.Lock(), 0
        handler = type("Handler", (_Handler,), {"judge": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, body: dict[str, Any], key: str | None) -> str | Fault | None:
        with self._lock:
            number = len(self.requests)
            self.requests.append(body)
            self.keys.append(key)
            self._working += 1
            self.most_at_once = max(self.most_at_once, self._working)
        try:
            return self.script(body, number)
        finally:
            with self._lock:
                self._working -= 1


class _Handler(BaseHTTPRequestHandler):
    judge: JudgeServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        listed = {"data": [{"id": name} for name in self.judge.models or []]}
        self._send(Fault(404 if self.judge.models is None else 200, json.dumps(listed).encode()))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply = self.judge.take(body, self.headers.get("Authorization"))
        if self.path != "/v1/chat/completions":
            reply = Fault(404, b"no such path")
        if not isinstance(reply, Fault):
            record = {"choices": [{"message": {"role": "assistant", "content": reply}}], "usage": self.judge.usage}
            reply = Fault(body=json.dumps(record).encode())
        self._send(reply)

    def _send(self, reply: Fault) -> None:
        time.sleep(reply.delay)
        if reply.hang_up:
            return
        try:
            self.send_response(reply.status)
            for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            for piece in [reply.body[i : i + 1] for i in range(len(reply.body))] if reply.drip else [reply.body]:
                self.wfile.write(piece)
                self.wfile.flush()
                time.sleep(reply.drip)
        except OSError:
            pass  # the other side has given up
