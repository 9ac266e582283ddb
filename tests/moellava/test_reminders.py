"""Quantisations and adapters that pass over the experts say so, and docs/transformers.md's recipes do not."""

import re
from pathlib import Path

import pytest
import torch

from moellava import MoELlavaForConditionalGeneration
from tests.tiny_models import BACKBONES, tiny_inputs, tiny_model

PAGE = (Path(__file__).parents[2] / "docs" / "transformers.md").read_text(encoding="utf-8")


def recipe(word: str, folder: Path) -> MoELlavaForConditionalGeneration:
    """The `model` that a code block of the page makes, of the model in a folder."""
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if word in block]
    names: dict = {}
    exec(code.replace('"checkpoints/moe-llava-2.7bx4"', repr(str(folder))), names)
    return names["model"]


@pytest.fixture(params=BACKBONES)
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    tiny_model(request.param).save_pretrained(tmp_path)
    return tmp_path


def experts(model: MoELlavaForConditionalGeneration) -> torch.nn.Module:
    return model.model.sparse_blocks()[0].experts


def test_int8_of_linear_layers_alone_says_what_it_leaves(folder, caplog):
    quantization = pytest.importorskip("torchao.quantization")
    from transformers import TorchAoConfig

    config = TorchAoConfig(quantization.Int8WeightOnlyConfig())
    model = MoELlavaForConditionalGeneration.from_pretrained(folder, quantization_config=config)
    assert type(experts(model).down_proj) is torch.nn.Parameter
    (message,) = [record.getMessage() for record in caplog.records if record.name.startswith("moellava")]
    assert re.fullmatch(
        r"this quantisation names no expert: \d\d% of the weights stay .*docs/transformers.md.*", message
    )


def test_the_int8_recipe_quantises_experts_and_keeps_routers(folder, tmp_path, caplog):
    pytest.importorskip("torchao.quantization")
    model = recipe("Int8WeightOnlyConfig", folder)
    kinds = {name: type(parameter).__name__ for name, parameter in model.named_parameters() if ".mlp." in name}
    layers = {name: kind for name, kind in kinds.items() if "language_model" in name and "bias" not in name}
    assert {kind for name, kind in layers.items() if "router" not in name} == {"Int8Tensor"}
    assert {kind for name, kind in layers.items() if "router" in name} == {"Parameter"}
    assert not [record for record in caplog.records if record.name.startswith("moellava")]
    inputs = tiny_inputs("clip", "What is in <image>?")
    with torch.no_grad():
        found = model(**inputs).logits.flatten()
        expected = MoELlavaForConditionalGeneration.from_pretrained(folder)(**inputs).logits.flatten()
    assert torch.corrcoef(torch.stack([found, expected]))[0, 1] > 0.95
    model.save_pretrained(tmp_path / "saved")
    loaded = MoELlavaForConditionalGeneration.from_pretrained(tmp_path / "saved", experts_implementation="eager")
    with torch.no_grad():
        torch.testing.assert_close(loaded(**inputs).logits.flatten(), found)


@pytest.mark.parametrize("targets", [["q_proj"], "all-linear"])
def test_an_adapter_of_linear_layers_alone_says_so(targets, caplog):
    peft = pytest.importorskip("peft")
    tiny_model().add_adapter(peft.LoraConfig(r=2, target_modules=targets))
    (message,) = [record.getMessage() for record in caplog.records if record.name.startswith("moellava")]
    assert message.startswith("this adapter names no expert")


def test_the_adapter_recipe_adapts_experts(folder, caplog):
    pytest.importorskip("peft")
    model = recipe("LoraConfig", folder)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert any(".mlp.experts." in name for name in trained)
    assert not any("router" in name for name in trained)
    assert not [record for record in caplog.records if record.name.startswith("moellava")]


def test_a_dense_model_is_not_reminded(caplog):
    peft = pytest.importorskip("peft")
    tiny_model(layers=()).add_adapter(peft.LoraConfig(r=2, target_modules=["q_proj"]))
    assert not caplog.records
