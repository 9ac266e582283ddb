"""A model behind a server: several questions at once, none twice, and every fault of a server in one line."""

import base64
import io
import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers.utils.import_utils import is_serve_available

from moe_eval.chat.messages import chat_messages
from moe_eval.engine.backend import Request, Response, Unanswered
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.engine.server import REFUSED_IN_A_ROW, ServerBackend, ServerOptions, ServerSource
from moe_eval.errors import UserError
from moe_eval.runs.plan import make_plans
from moellava import serving, zoo
from tests.judge_server import Fault, JudgeServer
from tests.tiny_models import picture


@pytest.fixture(autouse=True)
def _quick_and_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("moe_eval.chat.endpoint.LONGEST_WAIT", 0.01)


class Picture:
    name = "a"

    def open(self) -> Image.Image:
        return picture(0, (20, 16))


def questions(count: int) -> list[Request]:
    return [Request(str(number), (Picture(),), f"How many? {number}", 5) for number in range(count)]


def backend(server: JudgeServer, folder: Path, model: str = "m", **options) -> ServerBackend:
    return ServerBackend(ServerSource(f"openai:{model}@{server.url}", ServerOptions(cache=folder, **options)))


def asked(body: dict) -> str:
    return body["messages"][0]["content"][-1]["text"].rpartition(" ")[2]


def completion(text: str | None, finish_reason: str | None = "stop", **message: str) -> Fault:
    choice = {"message": {"content": text, **message}, "finish_reason": finish_reason}
    record = {"model": "m-2026", "choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}
    return Fault(body=json.dumps({**record, "system_fingerprint": "vllm-0.32.0-1a2b"}).encode())


def refusal(status: int, message: str) -> Fault:
    return Fault(status, json.dumps({"error": {"message": message}}).encode())


def test_every_question_is_asked_with_its_picture_and_answered(tmp_path):
    with JudgeServer(lambda body, _: asked(body)) as server:
        answers = {answer.id: answer for answer in backend(server, tmp_path).generate(questions(20))}
    assert {name: answer.text for name, answer in answers.items()} == {str(n): str(n) for n in range(20)}
    body = server.requests[0]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("m", 0, 5)
    url = body["messages"][0]["content"][0]["image_url"]["url"]
    sent = Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,"))))
    assert (np.asarray(sent) == np.asarray(Picture().open())).all()


def test_special_tokens_are_asked_for_where_they_are_wanted_and_are_another_question(tmp_path):
    with JudgeServer(lambda *_: "1") as server:
        list(backend(server, tmp_path).generate(questions(1)))
        list(backend(server, tmp_path, add_special_tokens=True).generate(questions(1)))
    assert [body.get("add_special_tokens") for body in server.requests] == [None, True]


def test_a_server_is_told_the_systems_words_and_whether_to_think_and_each_is_another_question(tmp_path):
    one = Request("1", (), "Why?", 5)
    with JudgeServer(lambda body, _: "<think>Hm.</think>yes") as server:
        for request in (
            one,
            replace(one, system="Be brief."),
            replace(one, thinking=True),
            replace(one, thinking=False),
        ):
            (answer,) = backend(server, tmp_path).generate([request])
        bodies = server.requests
    assert (answer.text, answer.reasoning) == ("yes", "Hm.")
    assert [body["messages"][0]["role"] for body in bodies] == ["user", "system", "user", "user"]
    switches = [body.get("chat_template_kwargs", {}).get("enable_thinking") for body in bodies]
    assert switches == [None, None, True, False]


def test_pictures_stand_where_the_text_says():
    content = chat_messages("A <image> then <image>?", [Picture().open()] * 2)[0]["content"]
    assert [part.get("text", "picture") for part in content] == ["A", "picture", "then", "picture", "?"]


def test_no_more_questions_are_in_work_than_allowed_but_so_many_are(tmp_path):
    together = threading.Barrier(3, timeout=10)  # breaks if fewer than three come at the same time

    def script(body: dict, _: int) -> str:
        together.wait()
        return "1"

    with JudgeServer(script) as server:
        assert len(list(backend(server, tmp_path, concurrency=3).generate(questions(9)))) == 9
    assert server.most_at_once == 3


def test_nothing_is_asked_twice_across_runs(tmp_path):
    with JudgeServer(lambda body, _: asked(body)) as server:
        first = list(backend(server, tmp_path).generate(questions(4)))
        again = backend(server, tmp_path)
        assert sorted(again.generate(questions(5)), key=lambda one: one.id)[:4] == sorted(first, key=lambda one: one.id)
        assert len(server.requests) == 5
        assert again.told()["calls"] == 1


def test_thoughts_are_kept_apart_and_the_server_tells_its_name_and_its_tokens(tmp_path):
    replies = {
        "0": completion(" Yes ", reasoning_content="Let me see."),
        "1": completion("<think>\nHm.</think>\n\nNo"),
        "2": completion(None, "length", reasoning="So long that"),
        "3": completion("<think>never ends", "length"),
    }
    with JudgeServer(lambda body, _: replies[asked(body)]) as server:
        asking = backend(server, tmp_path)
        list(asking.generate([Request("0", (), "Another run: 0", 5)]))
        answers = sorted(asking.generate(questions(4)), key=lambda one: one.id)
    assert answers == [
        Response("0", "Yes", 2, "stop", reasoning="Let me see."),
        Response("1", "No", 2, "stop", reasoning="Hm."),
        Response("2", "", 2, "length", reasoning="So long that"),
        Response("3", "", 2, "length", reasoning="never ends"),
    ]
    names = {"server": "m-2026", "system_fingerprint": "vllm-0.32.0-1a2b"}
    assert asking.told() == {**names, "calls": 4, "prompt_tokens": 28, "completion_tokens": 8}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (refusal(400, "maximum context length is 16 tokens"), "maximum context length is 16 tokens"),
        (refusal(400, "content_filter"), "content_filter"),
        (completion("I", "content_filter"), "its content filter stopped the answer"),
    ],
)
def test_a_refused_question_holds_up_no_other(tmp_path, fault, reason):
    with JudgeServer(lambda body, _: fault if asked(body) == "2" else "1") as server:
        answers = {answer.id: answer for answer in backend(server, tmp_path).generate(questions(12))}
    unanswered = answers.pop("2")
    assert isinstance(unanswered, Unanswered)
    assert reason in unanswered.reason
    assert all(isinstance(answer, Response) for answer in answers.values())


def test_a_server_that_takes_no_pictures_is_not_asked_for_ever(tmp_path):
    refused = refusal(400, "this model does not take image input")
    told = r"does not take image input. It refused the first \d+ questions"
    with JudgeServer(lambda *_: refused) as server, pytest.raises(UserError, match=told):
        list(backend(server, tmp_path, concurrency=2).generate(questions(50)))
    assert len(server.requests) <= REFUSED_IN_A_ROW + 4


@pytest.mark.parametrize(
    "fault", [completion("I thi", "abort"), Fault(body=b'{"choices": [{"mess'), Fault(hang_up=True)]
)
def test_half_an_answer_is_asked_again(tmp_path, fault):
    with JudgeServer(lambda _, number: fault if number == 0 else "whole") as server:
        assert [one.text for one in backend(server, tmp_path).generate(questions(1))] == ["whole"]


def test_an_endpoint_that_goes_away_loses_nothing(tmp_path):
    with JudgeServer(lambda body, number: asked(body) if number < 5 else Fault(500)) as server:
        answers = backend(server, tmp_path, concurrency=1).generate(questions(20))
        first = [next(answers).id for _ in range(5)]
        with pytest.raises(UserError, match=r"status 500.*what was answered is kept, and the same command goes on"):
            next(answers)
    with JudgeServer(lambda body, _: asked(body)) as server:
        missing = [one for one in questions(20) if one.id not in first]
        assert len(list(backend(server, tmp_path).generate(missing))) == 15


def test_a_reply_that_only_drips_is_given_up(tmp_path):
    slow = Fault(body=completion("there").body, drip=0.05)
    with JudgeServer(lambda _, number: slow if number == 0 else "here") as server:
        assert [one.text for one in backend(server, tmp_path, timeout=0.2).generate(questions(1))] == ["here"]


def test_a_model_that_the_server_does_not_have_is_named(tmp_path):
    missing = refusal(404, "The model `lava` does not exist.")
    told = "unknown model 'lava': did you mean llava"
    with JudgeServer(lambda *_: missing, models=["llava", "phi"]) as server, pytest.raises(UserError, match=told):
        list(backend(server, tmp_path, "lava").generate(questions(3)))


def test_a_url_without_its_version_is_told(tmp_path):
    with JudgeServer(lambda *_: "1") as server:
        source = ServerSource(f"openai:m@{server.url.removesuffix('/v1')}", ServerOptions(cache=tmp_path))
        with pytest.raises(UserError, match="the URL goes up to and including the version"):
            list(ServerBackend(source).generate(questions(1)))


def test_nobody_there_is_said_at_once(tmp_path):
    source = ServerSource("openai:m@http://127.0.0.1:9/v1", ServerOptions(cache=tmp_path))
    with pytest.raises(
        UserError, match=r"model m at http://127\.0\.0\.1:9/v1: no answer .*refused.*is the server running"
    ):
        list(ServerBackend(source).generate(questions(1)))


def test_the_key_comes_from_the_environment_and_is_never_shown(tmp_path, monkeypatch):
    locked = refusal(401, "wrong key sesame")
    with JudgeServer(lambda *_: locked) as server:
        with pytest.raises(UserError, match="it wants a key, and none was sent"):
            list(backend(server, tmp_path).generate(questions(1)))
        monkeypatch.setenv("MY_KEY", "sesame")
        with pytest.raises(UserError, match=r"wrong key \*\*\* \(is the key right\?\)"):
            list(backend(server, tmp_path, key="MY_KEY").generate(questions(1)))
    assert server.keys[-1] == "Bearer sesame"
    assert all(b"sesame" not in path.read_bytes() for path in tmp_path.iterdir())


def test_a_key_is_not_carried_to_where_a_server_sends_us(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    with JudgeServer(lambda *_: "1") as elsewhere:
        moved = Fault(307, headers={"Location": f"{elsewhere.url}/chat/completions"})
        with JudgeServer(lambda *_: moved) as server, pytest.raises(UserError, match="status 307"):
            list(backend(server, tmp_path).generate(questions(1)))
    assert elsewhere.requests == []


def test_the_budget_ends_a_run_and_what_was_answered_is_kept(tmp_path):
    with JudgeServer(lambda body, _: asked(body)) as server:
        with pytest.raises(UserError, match="budget is spent: 4 calls are more than max-calls 3"):
            list(backend(server, tmp_path, max_calls=3, concurrency=1).generate(questions(9)))
        assert len(server.requests) == 3
        asking = backend(server, tmp_path, max_calls=6)
        assert len(list(asking.generate(questions(9)))) == 9


@pytest.mark.skipif(not is_serve_available(), reason="needs fastapi, uvicorn and openai")
def test_transformers_server_answers_as_the_model_does_by_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "localhost")
    folder, port = str(zoo.resolve("moe-llava-nano")), serving._free_port()
    plan = make_plans("m", ["pope"], True, limit=18)[0]
    requests = [Request(sample.id, sample.images, plan.protocol.prompt(sample), 8) for sample in plan.dataset.samples]
    server = serving.Serve(force_model=folder, port=port, log_level="error", non_blocking=True)
    try:
        serving._wait_for(f"http://localhost:{port}")
        source = ServerSource(f"openai:{folder}@http://localhost:{port}/v1", ServerOptions(cache=tmp_path))
        served = {answer.id: answer.text for answer in ServerBackend(source).generate(requests)}
    finally:
        server.kill_server()
    here = GenerateBackend(ModelSource("moe-llava-nano", device="cpu", dtype="float32")).generate(requests)
    assert served == {answer.id: answer.text for answer in here}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("openai:m", "openai:NAME@URL is wanted"),
        ("openai:@http://x/v1", "openai:NAME@URL is wanted"),
        ("openai:m@ftp://x", "openai:NAME@URL is wanted"),
        ("openai:m@http://me:secret@x/v1", "the URL holds a password"),
        ("openai:m@http://x/v1?key=secret", "the URL holds a password or more than an address"),
    ],
)
def test_what_is_no_server_is_one_line(name, reason):
    with pytest.raises(UserError, match=reason) as caught:
        ServerSource(name)
    assert "secret" not in str(caught.value)


def test_a_key_in_the_place_of_its_variable_is_refused_and_not_repeated():
    with pytest.raises(UserError, match="names no environment variable that is set") as caught:
        ServerSource("openai:m@http://x/v1", ServerOptions(key="sk-secret"))
    assert "secret" not in str(caught.value)
