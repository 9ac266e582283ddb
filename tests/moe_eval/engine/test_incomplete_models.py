"""A folder that lacks what asking needs is one line that says what."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from moe_eval.engine.models import ModelSource
from moe_eval.errors import UserError
from tests.tiny_architectures import write_tiny

KEPT = {"config.json", "model.safetensors"}


def without(*patterns: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        for path in [path for pattern in patterns for path in folder.glob(pattern)]:
            if path.name not in KEPT:
                path.unlink()

    return edit


def of_remote_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    code = {"AutoConfig": "configuration_mine.Config", "AutoModelForCausalLM": "modeling_mine.Model"}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mine", "auto_map": code}))


def of_an_unknown_type(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mine"}))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (without("chat_template.jinja"), r"has no chat template, .* --chat-template FILE"),
        (without("*"), r"has no processor \(processor_config\.json or preprocessor_config\.json\)"),
        (without("*token*"), r"has no tokenizer"),
        (of_remote_code, r"comes with Python code of its own .*--trust-remote-code"),
        (of_an_unknown_type, r"model type `mine`"),
    ],
)
def test_what_is_missing_is_named_in_one_line(edit, message, tmp_path: Path):
    edit(write_tiny("qwen3_vl", tmp_path))
    with pytest.raises(UserError, match=message) as error:
        ModelSource(str(tmp_path), device="cpu").load()
    assert "\n" not in str(error.value)
