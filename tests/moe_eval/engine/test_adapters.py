"""Adapters in folders of their own, merged into the model that they belong to."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.errors import UserError
from tests.moe_eval.engine.test_generate import REQUESTS
from tests.tiny_llava import save_tiny_llava

pytestmark = pytest.mark.usefixtures("one_thread")
peft = pytest.importorskip("peft", reason="adapters are the extra [train]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_llava(tmp_path_factory.mktemp("tiny-llava"))


@pytest.fixture(scope="module")
def adapter(folder, tmp_path_factory) -> Path:
    """One that changes what the tiny model says."""
    model = AutoModelForImageTextToText.from_pretrained(folder)
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    torch.manual_seed(0)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=2.0)
    out = tmp_path_factory.mktemp("adapter") / "mine"
    adapted.save_pretrained(out)
    return out


def answers(source: ModelSource) -> list[str]:
    return [answer.text for answer in GenerateBackend(source).generate(REQUESTS)]


def test_an_adapter_changes_the_answers_as_peft_does(folder, adapter):
    source = ModelSource(str(folder), device="cpu", adapter=adapter)
    plain = ModelSource(str(folder), device="cpu")
    assert answers(source) != answers(plain)
    inside = peft.PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(folder), adapter)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        torch.testing.assert_close(source.load()[0](input_ids=ids).logits, inside(input_ids=ids).logits)
    info = source.describe("generate")
    assert info.name == f"{folder}+mine"
    assert info.source == str(folder)
    assert info.weights_fingerprint != plain.describe("generate").weights_fingerprint


def test_an_adapter_of_another_model_is_refused(folder, adapter, tmp_path):
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / name).write_bytes((adapter / name).read_bytes())
    weights = load_file(tmp_path / "adapter_model.safetensors")
    save_file(
        {name.replace("layers.0", "layers.7"): tensor for name, tensor in weights.items()},
        tmp_path / "adapter_model.safetensors",
    )
    with pytest.raises(UserError, match=r"does not belong to this model.*it was made for"):
        ModelSource(str(folder), device="cpu", adapter=tmp_path).load()
    config = (tmp_path / "adapter_config.json").read_text().replace("q_proj", "query_key_value")
    (tmp_path / "adapter_config.json").write_text(config.replace("v_proj", "dense"))
    with pytest.raises(UserError, match="does not belong to this model"):
        ModelSource(str(folder), device="cpu", adapter=tmp_path).load()


def test_a_folder_without_adapter_is_refused_before_anything_is_loaded(tmp_path):
    with pytest.raises(UserError, match=r"no adapter_config\.json in it"):
        ModelSource("moe-llava-nano", adapter=tmp_path)
