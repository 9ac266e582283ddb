"""What is wrong with a model's folder is one line before the first question."""

import json
from pathlib import Path

import pytest

from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.errors import UserError
from tests.tiny_llava import save_tiny_llava

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path) -> Path:
    return save_tiny_llava(tmp_path / "model")


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def complaint(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        _ = GenerateBackend(ModelSource(str(folder), device="cpu")).loaded
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_processor_that_does_not_fit_the_model(folder):
    change(folder / "processor_config.json", num_additional_image_tokens=7)
    assert "cannot answer a question about a picture" in complaint(folder)


def test_a_template_that_takes_content_as_text(folder):
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    assert "as it is" in complaint(folder)


def test_a_tokenizer_that_is_none(folder):
    (folder / "tokenizer.json").write_text('{"model": 7}')
    assert "its processor" in complaint(folder)


def test_a_configuration_nested_too_deeply(folder):
    (folder / "config.json").write_text("[" * 100_000)
    assert "recursion depth" in complaint(folder)


def test_python_that_comes_with_a_model_is_not_run(folder, tmp_path):
    ran = tmp_path / "ran"
    (folder / "theirs.py").write_text(f"open({str(ran)!r}, 'w')")
    change(folder / "config.json", model_type="theirs", auto_map={"AutoConfig": "theirs.TheirConfig"})
    assert "--trust-remote-code" in complaint(folder)
    assert not ran.exists()


def test_several_sequences_in_the_generation_configuration_are_one_answer(folder):
    change(folder / "generation_config.json", num_return_sequences=3, num_beams=3, stop_strings=["~"])
    GenerateBackend(ModelSource(str(folder), device="cpu")).loaded  # noqa: B018  (loads)


def test_an_adapter_is_told_from_a_model(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match="--adapter"):
        _ = ModelSource(str(tmp_path)).config
