"""A loopback server that speaks the Hugging Face hub's protocol, for models and data sets in local folders.

Point `HF_ENDPOINT` at `HubServer.endpoint` *before* huggingface_hub is imported, so use it with a subprocess:

    with HubServer() as hub:
        hub.add("dataset", "lmms-lab/POPE", folder, commit="4db1…")
        subprocess.run([...], env={**os.environ, **hub.environment(cache)})
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["HubServer"]


@dataclass(frozen=True)
class Repository:
    folder: Path
    commit: str

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


@dataclass
class HubServer:
    """Serves `/api/…/revision`, `/api/…/tree` and `…/resolve` with HEAD, GET and ranges; one commit per repository.

    Attributes:
        requests: (method, path) of everything that was asked.
        commits: (repository, files) of everything that was uploaded; nothing of it is served.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    commits: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def add(self, kind: str, name: str, folder: Path, commit: str) -> None:
        """Serve a folder as `ORGANISATION/NAME` at `commit` (40 hex digits) and at `main`."""
        self.repositories[f"{kind}s/{name}"] = Repository(folder, commit)

    @property
    def endpoint(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host}:{port}"

    def environment(self, home: Path) -> dict[str, str]:
        """Variables for a process that shall see this hub, with its cache in `home`."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1",
        }

    def __enter__(self) -> "HubServer":
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path))
        if path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif match := re.fullmatch(r"/api/(models/[^/]+/[^/]+)/(preupload|commit)/([^/]+)", path):
            answer = self._preupload if match[2] == "preupload" else self._commit
            self._with_repository(match[1], match[3], lambda repository: answer(match[1], body))
        else:
            self._error(404, "EntryNotFound")

    def _preupload(self, name: str, body: bytes) -> None:
        files = [
            {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]
        ]
        self._json({"files": files})

    def _commit(self, name: str, body: bytes) -> None:
        lines = [json.loads(line) for line in body.splitlines()]
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"]).decode()
            for line in lines
            if line["key"] == "file"
        }
        self.hub.commits.append((name, files))
        number = len(self.hub.commits)
        address = f"{self.hub.endpoint}/{name.removeprefix('models/')}"
        self._json(
            {
                "success": True,
                "commitOid": "c" * 40,
                "commitUrl": f"{address}/commit/{'c' * 40}",
                "pullRequestUrl": f"{address}/discussions/{number}",
            }
        )

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path))
        if match := re.fullmatch(r"/api/((?:models|datasets)/[^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._with_repository(match[1], match[2] or "main", self._info)
        elif match := re.fullmatch(r"/api/((?:models|datasets)/[^/]+/[^/]+)/tree/([^/]+)/?(.*)", path):
            recursive = "recursive=true" in urlsplit(self.path).query.lower()
            self._with_repository(match[1], match[2], lambda repository: self._tree(repository, match[3], recursive))
        elif match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            name = f"{'datasets' if match[1] else 'models'}/{match[2]}"
            self._with_repository(name, match[3], lambda repository: self._file(repository, match[4]))
        else:
            self._error(404, "EntryNotFound")

    def _with_repository(self, name, revision, respond) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            self._error(404, "RepoNotFound")
        elif revision not in ("main", repository.commit):
            self._error(404, "RevisionNotFound")
        else:
            respond(repository)

    def _info(self, repository: Repository) -> None:
        siblings = [
            {"rfilename": _relative(repository, path), "size": path.stat().st_size} for path in repository.files()
        ]
        self._json({"id": "served", "sha": repository.commit, "siblings": siblings})

    def _tree(self, repository: Repository, below: str, recursive: bool) -> None:
        files = {_relative(repository, path): path for path in repository.files()}
        start = f"{below}/" if below else ""
        found = {name: path for name, path in files.items() if name.startswith(start)}
        if not found:
            self._error(404, "EntryNotFound")
            return
        entries = []
        folders = {start + name.removeprefix(start).split("/")[0] for name in found} - set(found)
        entries += [{"type": "directory", "path": name, "size": 0, "oid": "0" * 40} for name in sorted(folders)]
        for name, path in found.items():
            if recursive or "/" not in name.removeprefix(start):
                size = path.stat().st_size
                entries.append({"type": "file", "path": name, "size": size, "oid": _etag(path)[:40]})
        self._json(entries)

    def _file(self, repository: Repository, name: str) -> None:
        path = repository.folder / name
        if not path.is_file():
            self._error(404, "EntryNotFound")
            return
        content = path.read_bytes()
        headers = {
            "ETag": f'"{_etag(path)[:40]}"',
            "X-Repo-Commit": repository.commit,
            "Accept-Ranges": "bytes",
        }
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match is None:
            self._send(200, content, headers)
            return
        start, end = int(match[1]), int(match[2] or len(content) - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
        self._send(206, content[start : end + 1], headers)

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _relative(repository: Repository, path: Path) -> str:
    return path.relative_to(repository.folder).as_posix()


def _etag(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
