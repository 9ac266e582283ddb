"""What decides an answer beside the weights: chat templates, and the fingerprint over all such files."""

import shutil

import pytest

from moe_eval.engine.models import ModelSource
from moe_eval.engine.processing import processing_fingerprint
from moe_eval.errors import UserError
from tests.tiny_llava import save_tiny_llava

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_llava(tmp_path_factory.mktemp("tiny-llava"))


def test_another_template_is_used_and_recorded(folder, tmp_path):
    own = (folder / "chat_template.jinja").read_text()
    (tmp_path / "mine.jinja").write_text(f"Be brief. {own}")
    source = ModelSource(str(folder), device="cpu", chat_template=tmp_path / "mine.jinja")
    assert source.load()[1].chat_template == f"Be brief. {own}"
    plain = ModelSource(str(folder), device="cpu")
    assert source.describe("generate").processing_fingerprint != plain.describe("generate").processing_fingerprint


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for m in messages %}{{ m['content'][-1]['text'] }}{% endfor %}", "leaves the picture out"),
        ("{% for m in messages %}{{ m['content'] | upper_case }}{% endfor %}", "cannot render a question"),
        ("{{ messages[0]['content'] + 'x' }}", "cannot render a question"),
        ("{% for", "cannot render a question"),
        ("   ", "is empty"),
        (None, "cannot be read"),
    ],
)
def test_a_template_that_cannot_ask_is_refused(folder, tmp_path, template, message):
    file = tmp_path / "bad.jinja"
    if template is not None:
        file.write_text(template)
    source = ModelSource(str(folder), device="cpu", chat_template=file)
    with pytest.raises(UserError, match=message) as caught:
        source.load()
    assert "bad.jinja" in str(caught.value)


def test_files_that_decide_are_in_the_fingerprint(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert processing_fingerprint(copy) == processing_fingerprint(folder)
    seen = {processing_fingerprint(copy)}
    for name in ("tokenizer.json", "chat_template.jinja", "processor_config.json", "generation_config.json"):
        (copy / name).write_bytes((copy / name).read_bytes() + b" " if (copy / name).exists() else b"{}")
        seen.add(processing_fingerprint(copy))
    assert len(seen) == 5
    (copy / "README.md").write_text("nothing that decides")
    assert processing_fingerprint(copy) in seen


def test_names_in_folders_and_tables(folder):
    assert ModelSource("hf:a/b", revision="v2").title == "hf:a/b@v2"
    assert ModelSource("hf:a/b", revision="v2", label="mine").title == "mine"
    assert ModelSource("llava-nano").title == "llava-nano"
    with pytest.raises(UserError, match="has no revisions"):
        ModelSource(str(folder), revision="v2")
