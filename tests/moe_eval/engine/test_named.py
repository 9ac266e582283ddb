"""What a word on the command line names, and which options mean something for it."""

import json

import pytest

from moe_eval.cli import main
from moe_eval.engine.backend import Request, Response, Unanswered
from moe_eval.engine.choose import choose_backend
from moe_eval.engine.models import ModelSource
from moe_eval.engine.named import find_source
from moe_eval.engine.server import ServerSource
from moe_eval.errors import UserError

SERVER = "openai:org/m@http://localhost:1/v1"


def test_models_servers_and_stored_answers_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("K", "sesame")
    assert isinstance(find_source("moe-llava-nano", dtype="float32"), ModelSource)
    server = find_source(SERVER, "concurrency=3,timeout=1.5,max_calls=7,key=K", dtype="auto", label="served")
    assert isinstance(server, ServerSource)
    assert (server.title, server.options.concurrency, server.options.timeout) == ("served", 3, 1.5)
    assert (server.options.max_calls, server.options.key) == (7, "K")
    assert (server.endpoint.model, server.endpoint.url) == ("org/m", "http://localhost:1/v1")


@pytest.mark.parametrize(
    ("name", "options", "loading", "message"),
    [
        (SERVER, "concurency=3", {}, "did you mean concurrency"),
        (SERVER, "concurrency=0", {}, "--engine-args concurrency=0: Input should be greater"),
        (SERVER, "timeout=soon", {}, "--engine-args timeout=soon: Input should be a valid number"),
        (SERVER, "fast", {}, "--engine-args fast: name=value is wanted"),
        (SERVER, "", {"dtype": "float16"}, "--dtype: means nothing for openai:"),
        (SERVER, "", {"router_noise_seed": 0}, "--router-noise: means nothing for openai:"),
        ("moe-llava-nano", "concurrency=3", {}, "moe-llava-nano has none"),
        ("replay:nowhere.jsonl", "", {}, "replay:nowhere.jsonl: no such file"),
    ],
)
def test_what_means_nothing_is_one_line(name, options, loading, message):
    with pytest.raises(UserError, match=message):
        find_source(name, options, **loading)


def test_routing_that_nobody_tells_is_refused():
    with pytest.raises(UserError, match=f"--routing: nobody tells how tokens of {SERVER} are routed"):
        choose_backend(find_source(SERVER), routing=True)


@pytest.mark.parametrize("names", [("id", "response"), ("question_id", "text")])
def test_stored_answers_are_given_by_id(tmp_path, names):
    (tmp_path / "responses.jsonl").write_text(json.dumps(dict(zip(names, (3, "Yes it is"), strict=True))) + "\n")
    backend = find_source(f"replay:{tmp_path}").backend()
    answers = list(backend.generate([Request("3", (), "?", 9), Request("4", (), "?", 9)]))
    assert answers[0] == Response("3", "Yes it is", 3, "stop")
    assert isinstance(answers[1], Unanswered)
    assert answers[1].failed


def test_a_line_that_is_no_answer_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(UserError, match="line 1: no answer"):
        list(find_source(f"replay:{tmp_path / 'a.jsonl'}").backend().generate([Request("1", (), "?", 9)]))


def test_stored_answers_cannot_be_ablated(tmp_path, capsys):
    (tmp_path / "responses.jsonl").write_text('{"id": "1", "response": "A"}\n')
    arguments = ["run", f"replay:{tmp_path}", "--tasks", "scienceqa", "--ablate", "options=shuffled"]
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--data", "mini", "--out", str(tmp_path / "out")])
    assert "holds answers that were given without it" in capsys.readouterr().err
