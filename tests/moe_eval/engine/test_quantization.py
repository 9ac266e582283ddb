"""Which weights are quantised, what is said where they cannot be, and that quantised models answer."""

from pathlib import Path

import pytest

from moe_eval.engine.backend import Request
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.engine.parameters import laid_out
from moe_eval.engine.quantization import LIBRARIES, quantised_weights
from moe_eval.errors import UserError
from tests.tiny_architectures import write_tiny
from tests.tiny_llava import save_tiny_llava
from tests.tiny_sparse import tiny_sparse_config

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def any_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if both libraries were there."""
    monkeypatch.setattr("moe_eval.engine.quantization.find_spec", lambda name: name)


@pytest.mark.parametrize("architecture", ["qwen3_vl_moe", "glm4v_moe", "aria"])
def test_linear_layers_and_experts_of_the_language_model_are_quantised(architecture):
    names = quantised_weights(laid_out(tiny_sparse_config(architecture)))
    assert any(".experts." in name for name in names)
    assert any(name.endswith("self_attn.q_proj.weight") for name in names)
    for kept in ("visual", "vision", "projector", "lm_head", "embed", ".gate.", ".router."):
        assert not [name for name in names if kept in name]


@pytest.mark.parametrize("way", LIBRARIES)
def test_a_missing_library_is_one_line(way, monkeypatch):
    monkeypatch.setattr("moe_eval.engine.quantization.find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"{LIBRARIES[way]} is not installed: pip install .*\[quantize\]"):
        ModelSource("moe-llava-nano", quantize=way)


def test_another_way_is_one_line():
    with pytest.raises(UserError, match="unknown way of --quantize '3bit': did you mean 8bit or 4bit"):
        ModelSource("moe-llava-nano", quantize="3bit")


def test_experts_in_4_bits_are_refused(any_library, tmp_path: Path):
    source = ModelSource(str(write_tiny("qwen3_vl_moe", tmp_path)), quantize="4bit", device="cpu")
    with pytest.raises(UserError, match=r"not stacked experts.*--quantize 8bit does both"):
        source.load()


def test_int8_models_answer_and_say_so(tmp_path: Path):
    pytest.importorskip("torchao")
    source = ModelSource(str(write_tiny("qwen3_vl_moe", tmp_path)), quantize="8bit", device="cpu")
    backend = GenerateBackend(source, routing=True)
    (answer,) = backend.generate([Request("1", (), "Why?", 2)])
    assert answer.routing is not None
    model, _ = backend.loaded
    kinds = {type(weight).__name__ for name, weight in model.named_parameters() if name in quantised_weights(model)}
    assert kinds == {"Int8Tensor"}
    assert backend.describe().quantization.startswith("8bit, torchao ")
    assert source.title.endswith("+8bit")


def test_layers_are_spread_by_transformers(tmp_path: Path):
    source = ModelSource(str(save_tiny_llava(tmp_path)), device_map="auto")
    backend = GenerateBackend(source)
    assert list(backend.generate([Request("1", (), "Why?", 2)]))
    assert backend.describe().device_map == "auto"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device_map": "manual"}, "unknown device map 'manual'"),
        ({"device_map": "auto", "device": "cpu"}, "say one of them"),
    ],
)
def test_a_device_map_that_cannot_be_is_one_line(options, message):
    with pytest.raises(UserError, match=message):
        ModelSource("moe-llava-nano", **options)
