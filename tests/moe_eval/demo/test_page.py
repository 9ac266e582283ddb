"""The page of the demo in a real browser: a question to two models, a patch pointed at, an expert switched off."""

import socket
import time

import pytest

from bench.browser import CHROMIUM, open_browser
from moe_eval.cli import main
from moe_eval.errors import UserError

pytest.importorskip("gradio", reason="the page is the extra [demo]")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_port_in_use_is_one_line():
    from moe_eval.demo.serve import launch

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="cannot be had"):
            launch([], taken.getsockname()[1])


def test_a_port_in_use_is_told_before_models_are_loaded(monkeypatch):
    from moe_eval.demo import talker
    from moe_eval.demo.serve import serve

    monkeypatch.setattr(talker, "Talker", None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="cannot be had"):
            serve([None], taken.getsockname()[1])


def test_three_models_are_too_many(capsys):
    with pytest.raises(SystemExit) as end:
        main(["demo", "a", "b", "c"])
    assert end.value.code == 2
    assert "2 at most" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
def test_two_models_answer_side_by_side_and_an_expert_is_switched_off():
    from moe_eval.demo.serve import launch
    from moe_eval.demo.talker import Talker
    from moe_eval.engine.models import ModelSource

    port = free_port()
    page = launch([Talker(ModelSource("moe-llava-nano")), Talker(ModelSource("llava-nano"))], port)
    try:
        with open_browser() as browser:
            browser.resize(1280, 1200)
            browser.call("Page.navigate", url=f"http://127.0.0.1:{port}/")
            browser.click("#ask")
            browser.wait("document.querySelectorAll('.way').length === 2")
            bot = "document.querySelector('#chat-{} .bot .message-content, #chat-{} .bot')?.textContent.trim()"
            assert browser.wait(bot.replace("{}", "0")) == "Yes"
            assert browser.wait(bot.replace("{}", "1")) == "Yes"
            browser.point_at("#way-0 .patch:nth-of-type(9)")
            route = browser.wait(
                "[...document.querySelectorAll('.patch text')].find((t) => getComputedStyle(t).display !== 'none')?.textContent"
            )
            assert route.startswith("patch 9: layer 0 → ")
            assert browser.evaluate("document.querySelectorAll('#way-0 .e0[d]').length") > 0
            browser.click("#off-0 input")
            browser.press("ArrowDown")
            browser.press("Enter")
            browser.wait("document.querySelector('#chat-0').textContent.includes('before: Yes')")
            browser.evaluate("document.querySelector('#question textarea').select()")
            browser.type("  ")
            browser.click("#ask")  # a blank question changes nothing
            time.sleep(1)
            assert "before: Yes" in browser.evaluate("document.querySelector('#chat-0').textContent")
            assert browser.evaluate("document.querySelectorAll('.way').length") == 2
            assert browser.complaints == []
            elsewhere = {address.split("/")[2] for address in browser.requests if address.startswith("http")}
            assert elsewhere == {f"127.0.0.1:{port}"}
    finally:
        page.close()
