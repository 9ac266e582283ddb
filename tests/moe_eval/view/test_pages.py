"""The pages over HTTP: only GET, only this machine's name, only what is known; and a browser that follows a run."""

import http.client
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from bench.browser import CHROMIUM, open_browser
from moe_eval.cli import main
from moe_eval.view.watch import Watch

uvicorn = pytest.importorskip("uvicorn", reason="the page is the extra [view]")
pytest.importorskip("starlette", reason="the page is the extra [view]")


@dataclass
class Server:
    port: int
    stop: threading.Event

    def ask(self, path: str, method: str = "GET", host: str = "") -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, headers={"Host": host or f"127.0.0.1:{self.port}"})
        reply = connection.getresponse()
        return reply.status, dict(reply.getheaders()), b"" if path == "/events" else reply.read()


@contextmanager
def served(root: Path, port: int = 0) -> Iterator[Server]:
    from moe_eval.view.app import make_app
    from moe_eval.view.serve import listen

    stop = threading.Event()
    with listen(port) as listener, Watch(root) as watch:
        server = uvicorn.Server(uvicorn.Config(make_app(watch, stop.is_set), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Server(listener.getsockname()[1], stop)
        finally:
            stop.set()
            server.should_exit = True
            thread.join()


@pytest.fixture
def server(answer, tmp_path) -> Iterator[Server]:
    answer("finished")
    answer("going", dies_after=20)
    with served(tmp_path) as server:
        yield server


def test_only_this_machine_s_names_and_only_get(server):
    assert server.ask("/")[0] == 200
    assert server.ask("/", host="localhost:1")[0] == 200
    for path in ("/", "/events", "/report", "/picture"):
        assert server.ask(path, host="rebound.example")[0] == 400
        assert server.ask(path, method="POST")[0] == 405


def test_nothing_else_can_be_read(server):
    outside = ("/../pyproject.toml", "/view.html", "/report?run=../..", "/report?run=/etc", "/report?run=going/pope/..")
    assert {server.ask(path)[0] for path in outside} == {404}


def test_the_browser_is_told_to_load_nothing_from_elsewhere(server):
    _, headers, page = server.ask("/")
    assert headers["content-security-policy"].startswith("default-src 'self';")
    assert b"http" not in page
    assert "access-control-allow-origin" not in {name.lower() for name in headers}


def test_pictures_are_those_of_known_answers(server):
    def picture(**query: str) -> tuple[int, bytes]:
        status, _, content = server.ask(f"/picture?{urlencode(query)}")
        return status, content[8:12]

    end = time.monotonic() + 30
    while picture(run="going/pope", answer="1") != (200, b"WEBP"):  # as soon as the data are loaded
        assert time.monotonic() < end
        time.sleep(0.05)
    for query in (
        {"run": "going/pope", "answer": "none"},
        {"run": "going/pope", "answer": "1", "number": "1"},
        {"run": "going/pope", "answer": "1", "number": "-1"},
        {"run": "../pope", "answer": "1"},
        {},
    ):
        assert picture(**query)[0] == 404


def test_an_unfinished_run_cannot_be_reported_and_it_says_why(server):
    status, _, text = server.ask("/report?run=going/pope")
    assert status == 404
    assert b"not finished" in text


# --- the command ----------------------------------------------------------------------------------------------------


def test_a_port_in_use_and_a_missing_folder_are_one_line(tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for arguments in ([str(tmp_path), "--port", str(taken.getsockname()[1])], [str(tmp_path / "none")]):
            with pytest.raises(SystemExit) as end:
                main(["view", *arguments])
            assert end.value.code == 2
            said = capsys.readouterr().err
            assert said.count("\n") == 1
            assert arguments[-1] in said


def test_without_its_packages_it_names_the_extra(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    with pytest.raises(SystemExit):
        main(["view", str(tmp_path)])
    assert "pip install 'moe-llava-eval[view]'" in capsys.readouterr().err


# --- in a browser ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
def test_a_run_is_followed_while_it_is_killed_resumed_finished_and_deleted(answer, tmp_path):
    answer("finished")
    card = "document.querySelector('[data-run=\"guesser/pope\"]')"
    with served(tmp_path) as server, open_browser() as browser:
        browser.call("Page.navigate", url=f"http://127.0.0.1:{server.port}/")
        browser.wait("document.querySelectorAll('.run').length === 1")
        folder = answer(dies_after=20, seconds=0.05)
        browser.wait(f"{card}?.querySelector('progress').value === 20")
        browser.wait(f"{card}.querySelector('.score-line')?.textContent.includes('mean F1')")
        browser.wait(
            f"[...{card}.querySelectorAll('.newest img')].every((one) => one.naturalWidth) && {card}.querySelector('.newest .asked').textContent.startsWith('Is there')"
        )
        resumed = threading.Thread(target=answer, kwargs={"seconds": 0.05})
        resumed.start()
        browser.wait(f"{card}.textContent.includes('2 sessions') && {card}.textContent.match(/answers.s|s per answer/)")
        resumed.join()
        browser.wait(f"{card}.classList.contains('finished') && !!{card}.querySelector('a')")
        link = browser.evaluate("document.querySelector('.bar a').href")
        port = server.port
        shutil.rmtree(folder)
        browser.wait(f"{card}.classList.contains('deleted')")
        assert browser.complaints == []
        assert {address.split("/")[2] for address in browser.requests if address.startswith("http")} == {
            f"127.0.0.1:{port}"
        }
        assert "run=finished%2Fpope" in link
        assert "run=guesser%2Fpope" in link
        server.stop.set()  # the stream ends, and the page connects again by itself
        browser.wait("document.getElementById('connection').classList.contains('lost')")
        server.stop.clear()
        browser.wait("document.getElementById('connection').textContent === 'live'")
