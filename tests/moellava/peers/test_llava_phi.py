"""A checkpoint in LLaVA-Phi's layout becomes the model that its code composes: CLIP, a projector, Phi with a head bias."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    PhiConfig,
    PhiForCausalLM,
)

from moellava.chat_template import SYSTEM_PROMPT
from moellava.convert import ConversionError, convert
from moellava.peers.convert import converter_of
from moellava.peers.tinygpt_v.source import head_rows
from tests.upstream_checkpoints import ORACLE, change_config

pytestmark = pytest.mark.usefixtures("one_thread")

HEADS = 4
TEXT = {
    "vocab_size": 448,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "partial_rotary_factor": 0.5,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 56,
    "patch_size": 14,
}


class Composition(nn.Module):
    """What LLaVA-Phi's code computes, of transformers' own parts."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.tower = CLIPVisionModel(CLIPVisionConfig(**VISION))
        self.projector = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 32))
        self.phi = PhiForCausalLM(PhiConfig(**TEXT, hidden_act="gelu_new"))
        for parameter in self.parameters():  # biases, too: they are zero at the start
            nn.init.normal_(parameter, std=0.2)

    def forward(self, before: list[int], pixel_values: torch.Tensor, after: list[int]) -> torch.Tensor:
        """Logits [1, sequence, vocabulary] of text, one picture, text."""
        features = self.tower(pixel_values, output_hidden_states=True).hidden_states[-2][:, 1:]
        start, end = (self.phi.model.embed_tokens(torch.tensor([ids])) for ids in (before, after))
        return self.phi(inputs_embeds=torch.cat([start, self.projector(features), end], dim=1)).logits

    def state(self, fused: bool) -> dict[str, torch.Tensor]:
        """Named as LLaVA-Phi names it; `fused`: with queries, keys and values in one tensor, as transformers 4.36 has them."""
        tensors = dict(self.phi.state_dict())
        tensors |= {f"model.mm_projector.{name}": value for name, value in self.projector.state_dict().items()}
        for name, value in self.tower.state_dict().items():
            tensors[f"model.vision_tower.vision_model.{name.removeprefix('vision_model.')}"] = value
        for name in [
            name for name in tensors if fused and ".self_attn.q_proj." in name and name.startswith("model.layers")
        ]:
            parts = [tensors.pop(name.replace("q_proj", f"{part}_proj")) for part in "qkv"]
            whole = torch.empty(3 * len(parts[0]), *parts[0].shape[1:])
            for part, rows in zip("qkv", parts, strict=True):
                whole[head_rows(len(rows), HEADS, part)] = rows
            tensors[name.replace("q_proj", "query_key_value")] = whole
        return {name: value.contiguous() for name, value in tensors.items()}


def write_checkpoint(folder: Path, composition: Composition, fused: bool = True) -> Path:
    folder.mkdir()
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        shutil.copy(ORACLE / "llava-phi" / "checkpoint" / name, folder)
    shutil.copy(next(ORACLE.glob("llava-phi/openai/*/preprocessor_config.json")), folder)
    vision = {**VISION, "mm_vision_select_feature": "patch", "mm_vision_select_layer": -2}
    projector = {"mm_projector_type": "mlp2x_gelu", "mm_hidden_size": 16, "hidden_size": 32}
    config = {
        "model_type": "llava_phi",
        **TEXT,
        "hidden_act": "gelu_new",
        "image_aspect_ratio": "pad",
        "mm_use_im_patch_token": False,
        "vision_config": {"vision_tower": vision, "mm_projector": projector},
    }
    (folder / "config.json").write_text(json.dumps(config))
    save_file(composition.state(fused), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def composition() -> Composition:
    return Composition().eval()


@pytest.fixture(scope="module", params=[True, False], ids=["fused", "apart"])
def converted(composition: Composition, tmp_path_factory: pytest.TempPathFactory, request) -> Path:
    folder = tmp_path_factory.mktemp("llava-phi")
    return convert(write_checkpoint(folder / "checkpoint", composition, request.param), folder / "out")


@torch.inference_mode()
def test_logits_are_those_of_the_parts(converted: Path, composition: Composition):
    model = AutoModelForImageTextToText.from_pretrained(converted, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(converted)
    picture = Image.effect_noise((56, 40), 80).convert("RGB")
    content = [{"type": "image"}, {"type": "text", "text": "What is it?"}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    assert prompt == f"{SYSTEM_PROMPT} USER: <image>\nWhat is it? ASSISTANT:"
    inputs = processor(text=[prompt], images=[[picture]], return_tensors="pt")
    before, after = (processor.tokenizer(text)["input_ids"] for text in prompt.split("<image>"))
    expected = composition(before, inputs["pixel_values"], after)
    torch.testing.assert_close(model(**inputs).logits, expected, rtol=0, atol=1e-5)


def test_it_is_told_from_moe_llavas_llava_phi(tmp_path: Path, composition: Composition):
    assert converter_of(ORACLE / "llava-phi" / "checkpoint") is None
    assert converter_of(write_checkpoint(tmp_path / "checkpoint", composition)) is not None


def test_another_projector_is_refused_in_one_line(tmp_path: Path, composition: Composition):
    folder = write_checkpoint(tmp_path / "checkpoint", composition)
    projector = {"mm_projector_type": "ldpnet"}
    change_config(folder, vision_config={"mm_projector": projector, "vision_tower": VISION})
    with pytest.raises(ConversionError, match=r"config\.json: projector 'ldpnet'"):
        convert(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
