"""`moellava serve` and `moellava chat`: transformers' server answers for our model as the model does by itself."""

import base64
import io
import sys

import pytest
from huggingface_hub.utils import httpx
from transformers.utils.import_utils import is_serve_available

from moellava import MoELlavaForConditionalGeneration, MoELlavaProcessor, serving, zoo
from moellava.cli import main
from tests.tiny_models import picture

NANO = "moe-llava-nano"
needs_server = pytest.mark.skipif(not is_serve_available(), reason="needs fastapi, uvicorn and openai")


@pytest.fixture
def call(monkeypatch, capsys):
    """`call(*arguments)` is exit code, stdout and stderr of `moellava ARGUMENTS`."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["moellava", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        shown = capsys.readouterr()
        return int(caught.value.code or 0), shown.out, shown.err

    return run


@pytest.mark.parametrize("command", ["serve", "chat"])
def test_a_model_has_to_be_named(call, command):
    assert call(command) == (2, "", f"moellava {command}: Missing argument 'MODEL'.\n")


@pytest.mark.parametrize("command", ["serve", "chat"])
@pytest.mark.parametrize("name", ["nowhere", "./a/b", "a/b/c"])
def test_what_is_no_model_is_named(call, command, name):
    code, _, err = call(command, name)
    assert code == 2
    assert err.startswith(f"moellava {command}: {name}: no such folder, no name of the zoo ({zoo.names()[0]}, ")
    assert err.count("\n") == 1


def test_transformers_options_are_known(call):
    code, out, _ = call("serve", "--help")
    assert code == 0
    assert "Example: moellava serve" in out
    assert "--attn-implementation" in out
    assert call("serve", NANO, "--port", "many")[2].startswith("moellava serve: Invalid value for '--port'")


@needs_server
def test_a_folder_that_is_no_checkpoint_is_named(tmp_path, call):
    code, _, err = call("serve", tmp_path)
    assert code == 2
    assert err.count("\n") == 1
    assert str(tmp_path) in err


def test_names_folders_and_hub_ids_are_models(tmp_path):
    assert serving.model_source(NANO) == str(zoo.resolve(NANO))
    assert serving.model_source(str(tmp_path)) == str(tmp_path)
    assert serving.model_source("someone/model") == "someone/model"


def test_options_reach_transformers(monkeypatch):
    seen: dict = {}

    class Recorder:
        def __init__(self, force_model: str, host: str = "localhost", port: int = 8000, **options):
            seen.update(options, force_model=force_model, port=port)

    Recorder.__signature__ = serving.inspect.signature(serving.Serve)
    monkeypatch.setattr(serving, "Serve", Recorder)
    serving.serve([NANO, "--port", "8123", "--dtype", "float32"])
    assert seen["force_model"] == str(zoo.resolve(NANO))
    assert (seen["port"], seen["dtype"], seen["compile"]) == (8123, "float32", False)


@needs_server
def test_the_server_answers_what_the_model_answers():
    folder, port = str(zoo.resolve(NANO)), serving._free_port()
    buffer = io.BytesIO()
    picture(0, (64, 48)).save(buffer, "PNG")
    url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "Is there a red circle?"}]
    server = serving.Serve(force_model=folder, port=port, log_level="error", non_blocking=True)
    try:
        serving._wait_for(f"http://localhost:{port}")
        body = {"messages": [{"role": "user", "content": content}], "max_tokens": 8}
        reply = httpx.post(f"http://localhost:{port}/v1/chat/completions", json=body, timeout=60)
    finally:
        server.kill_server()
    found = reply.json()["choices"][0]["message"]["content"]

    model = MoELlavaForConditionalGeneration.from_pretrained(folder).eval()
    processor = MoELlavaProcessor.from_pretrained(folder)
    asked = [{"type": "image", "image": picture(0, (64, 48))}, content[1]]
    options = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
    inputs = processor.apply_chat_template([{"role": "user", "content": asked}], **options)
    ids = model.generate(**inputs, max_new_tokens=8)[0, inputs["input_ids"].shape[1] :]
    assert found == processor.decode(ids, skip_special_tokens=True)


@needs_server
def test_a_chat_without_a_server_starts_one(monkeypatch):
    seen: dict = {}

    class Talk:
        def __init__(self, model_id: str, base_url: str, **options):
            seen.update(model_id=model_id, health=httpx.get(f"{base_url}/health").json())

    Talk.__signature__ = serving.inspect.signature(serving.Chat)
    monkeypatch.setattr(serving, "Chat", Talk)
    serving.chat([NANO])
    assert seen == {"model_id": str(zoo.resolve(NANO)), "health": {"status": "ok"}}
