"""An endpoint that stumbles is asked again; one that refuses is an error at once."""

import json

import pytest

from moe_eval.chat.budget import Budget, Purse
from moe_eval.chat.endpoint import ATTEMPTS, Endpoint
from moe_eval.errors import UserError
from tests.judge_server import Fault, JudgeServer

MESSAGES = [{"role": "user", "content": "How good is it? "}]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def ask(server: JudgeServer, pauses: list[float] | None = None, messages=MESSAGES, **options):
    endpoint = Endpoint(server.url, "judge-1", pause=(pauses if pauses is not None else []).append, **options)
    return endpoint.ask(messages, 0.5, 3)


def first_then(*faults: Fault):
    return lambda _, number: faults[number] if number < len(faults) else "0.5"


def test_a_call_is_sent_as_the_original_sends_it():
    with JudgeServer(lambda *_: "0.7", usage={"prompt_tokens": 11, "completion_tokens": 2}) as server:
        reply = ask(server, key="secret")
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("0.7", 11, 2)
    assert server.requests == [
        {
            "model": "judge-1",
            "messages": [{"role": "user", "content": "How good is it? "}],
            "temperature": 0.5,
            "max_tokens": 3,
        }
    ]
    assert server.keys == ["Bearer secret"]


def test_an_empty_reply_is_a_reply_and_half_a_surrogate_can_be_sent():
    with JudgeServer(lambda *_: None) as server:
        assert ask(server, messages=[{"role": "user", "content": "\ud800"}]).text == ""
        assert server.requests[0]["messages"][0]["content"] == "\ud800"
        assert server.keys == [None]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(429, b'{"error": {"message": "slow down"}}'),
        Fault(500),
        Fault(503, b"<html>"),
        Fault(body=b"garbage"),
        Fault(body=b"[]"),
        Fault(body=b'{"choices": []}'),
        Fault(body=b'{"choices": [{"message": {"content": [1]}}]}'),
        Fault(hang_up=True),
        Fault(delay=0.5),
    ],
)
def test_what_passes_is_tried_again(fault):
    pauses: list[float] = []
    with JudgeServer(first_then(fault, fault)) as server:
        assert ask(server, pauses, timeout=0.2).text == "0.5"
    assert len(server.requests) == 3
    assert len(pauses) == 2


def test_the_server_says_how_long_to_wait():
    pauses: list[float] = []
    with JudgeServer(
        first_then(Fault(429, headers={"Retry-After": "7"}), Fault(429, headers={"Retry-After": "soon"}))
    ) as server:
        ask(server, pauses)
    assert pauses[0] == 7.0


def test_waits_grow():
    pauses: list[float] = []
    with JudgeServer(lambda *_: Fault(500)) as server, pytest.raises(UserError):
        ask(server, pauses)
    assert len(pauses) == ATTEMPTS - 1
    assert all(0 <= pause <= 2**number for number, pause in enumerate(pauses))


def test_after_six_tries_it_is_an_error_of_one_line():
    with JudgeServer(lambda *_: Fault(500, b"out of\norder")) as server, pytest.raises(UserError) as caught:
        ask(server)
    assert f"{ATTEMPTS} tries failed, the last one: status 500: out of order" in str(caught.value)
    assert len(server.requests) == ATTEMPTS


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (401, {"message": "bad key"}, r"status 401: bad key \(is the key right\?\)"),
        (404, {"message": "no such model"}, "status 404: no such model"),
        (400, {"message": "too hot", "code": "value"}, r"status 400: too hot \(value\)"),
        (429, {"message": "pay", "code": "insufficient_quota"}, "insufficient_quota"),
    ],
)
def test_what_does_not_pass_is_an_error_at_once(status, error, message):
    with JudgeServer(lambda *_: Fault(status, json.dumps({"error": error}).encode())) as server:
        with pytest.raises(UserError, match=message):
            ask(server, key="secret")
        assert len(server.requests) == 1


def test_nobody_there_is_one_line():
    endpoint = Endpoint("http://127.0.0.1:9/v1", "judge-1", pause=lambda _: None)
    with pytest.raises(UserError, match=r"judge judge-1 at http://127\.0\.0\.1:9/v1: 6 tries failed.*refused"):
        endpoint.ask(MESSAGES, 0.5, 3)


def test_what_is_no_url_is_one_line():
    with pytest.raises(UserError, match="gpt-4 is no URL"):
        Endpoint("gpt-4", "judge-1").ask(MESSAGES, 0.5, 3)


def test_a_redirect_is_not_followed_with_the_key():
    with JudgeServer(lambda *_: "1.0") as elsewhere:
        to = Fault(302, headers={"Location": f"{elsewhere.url}/chat/completions"})
        with JudgeServer(lambda *_: to) as server, pytest.raises(UserError, match="not followed"):
            ask(server, key="secret")
        assert not elsewhere.keys


def test_a_reply_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr("moe_eval.chat.endpoint.LARGEST_REPLY", 1000)
    with JudgeServer(lambda *_: Fault(body=b" " * 5000)) as server, pytest.raises(UserError, match="goes on"):
        ask(server)


def test_usage_that_cannot_be_is_guessed():
    with JudgeServer(lambda *_: "0.7", usage={"prompt_tokens": -5, "completion_tokens": -1}) as server:
        reply = ask(server)
    assert (reply.prompt_tokens > 0, reply.completion_tokens > 0) == (True, True)


@pytest.mark.parametrize(
    ("said", "thought", "answer"),
    [("<think>0.9?</think>0.4", "0.9?", "0.4"), ("0.9?</think> 0.4", "0.9?", "0.4"), ("<think>0.9", "0.9", "")],
)
def test_thoughts_are_no_answer(said, thought, answer):
    with JudgeServer(lambda *_: said) as server:
        reply = ask(server)
    assert (reply.reasoning, reply.text) == (thought, answer)


def test_every_try_counts_against_the_budget():
    with JudgeServer(lambda *_: Fault(500)) as server:
        purse = Purse(Budget(calls=3), "judge")
        with pytest.raises(UserError, match="budget is spent"):
            purse.pay(1, lambda: ask(server))
    assert (len(server.requests), purse.paid.calls) == (3, 3)
