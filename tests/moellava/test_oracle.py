"""A converted checkpoint gives what the original code gave on it: every case under tests/data/oracle and --oracle DIR.

Where the original drops choices at evaluation (more than four experts, or top-1), its capacity is switched on for the
comparison; the default drops nothing.
"""

import json
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from moellava import MoELlavaForConditionalGeneration, MoELlavaProcessor
from moellava.convert import convert

UPSTREAM_IMAGE_ID = -200
TOLERANCE = {"rtol": 0.0, "atol": 2e-5}


@dataclass
class Oracle:
    """One recorded case beside its converted model."""

    folder: Path
    model: MoELlavaForConditionalGeneration
    processor: MoELlavaProcessor

    @cached_property
    def record(self) -> dict:
        return json.loads((self.folder / "io.json").read_text())

    @cached_property
    def tensors(self) -> dict[str, torch.Tensor]:
        return load_file(self.folder / "io.safetensors")

    def image(self, name: str) -> Image.Image:
        """A picture by its file name, with or without its ending (tensor names have none)."""
        (path,) = [path for path in (self.folder / "images").iterdir() if name in (path.name, path.stem)]
        return Image.open(path).convert("RGB")

    def inputs(self, *names: str, **options):
        prompts = [self.record["prompts"][name] for name in names]
        return self.processor(
            images=[self.image(file) for prompt in prompts for file in prompt["images"]],
            text=[prompt["prompt"] for prompt in prompts],
            return_tensors="pt",
            **options,
        )

    @torch.inference_mode()
    def forward(self, *names: str, **options):
        return self.model(**self.inputs(*names, **options), output_router_logits=True)

    @torch.inference_mode()
    def generate(self, *names: str) -> list[list[int]]:
        """16 new ids per prompt, past any end marker, as they were recorded."""
        inputs = self.inputs(*names, padding=True)
        ids = self.model.generate(**inputs, max_new_tokens=16, eos_token_id=-1)
        return ids[:, inputs["input_ids"].shape[1] :].tolist()

    @contextmanager
    def original_capacity(self, name: str):
        """Drop choices if the original did; with top-1 it drew at random whom, so the recorded ones survive."""
        moe, blocks = self.model.config.moe, self.model.model.sparse_blocks()
        survivors = {index: self.tensors[f"{name}.layer{index}.combine_weights"] > 0 for index in blocks}
        moe.drop_tokens = any((alive.sum(-1) < moe.top_k).any() for alive in survivors.values())
        with pytest.MonkeyPatch.context() as patch:
            if moe.drop_tokens and moe.top_k == 1:
                for index, block in blocks.items():
                    patch.setattr(block.router, "drop_priority", recorded_survivors(survivors[index]))
            yield
        moe.drop_tokens = False


@pytest.fixture(scope="session")
def oracle(oracle_case: Path, tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    folder = convert(oracle_case / "checkpoint", tmp_path_factory.mktemp("oracle") / oracle_case.name)
    model = MoELlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    return Oracle(oracle_case, model, MoELlavaProcessor.from_pretrained(folder))


@pytest.fixture(params=["eager", "sdpa"])
def attention(oracle: Oracle, request: pytest.FixtureRequest):
    oracle.model.set_attn_implementation(request.param)
    yield request.param
    oracle.model.set_attn_implementation("sdpa")


def recorded_survivors(alive: torch.Tensor):
    """Priorities [T, E] that let the recorded survivors keep their place; other passes (one token) drop nothing."""
    return lambda logits: (alive.float() + 1) / 2 if len(logits) == len(alive) else None


def messages(turns: list[str]) -> list[dict]:
    """Turns as they were recorded, with `<image>` in the text."""
    return [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]


def test_rendered_prompt_and_input_ids_are_equal(oracle: Oracle):
    for prompt in oracle.record["prompts"].values():
        rendered = oracle.processor.apply_chat_template(messages(prompt["turns"]), add_generation_prompt=True)
        assert rendered == prompt["prompt"]
        input_ids = oracle.processor.tokenize(rendered)
        upstream = [UPSTREAM_IMAGE_ID if i == oracle.processor.image_token_id else i for i in input_ids]
        assert upstream == prompt["input_ids"]


@pytest.mark.parametrize("padding", ["pad", "no_pad"])
def test_pixel_values_are_equal(oracle: Oracle, padding: str):
    names = [name for name in oracle.tensors if name.startswith(f"pixel_values.{padding}.")]
    assert names
    for name in names:
        image = oracle.image(name.removeprefix(f"pixel_values.{padding}."))
        ours = oracle.processor.image_processor(image, do_pad=padding == "pad", return_tensors="pt")["pixel_values"][0]
        torch.testing.assert_close(ours, oracle.tensors[name], rtol=0, atol=1e-6)


@torch.inference_mode()
def test_tower_and_image_features_are_equal(oracle: Oracle):
    names = [name.removeprefix("tower_features.") for name in oracle.tensors if name.startswith("tower_features.")]
    assert names
    for name in names:
        pixel_values = oracle.processor.image_processor(oracle.image(name), do_pad=True, return_tensors="pt")[
            "pixel_values"
        ]
        features = oracle.model.get_image_features(pixel_values)
        tower = features.hidden_states[oracle.model.config.vision_feature_layer][0, 1:]
        torch.testing.assert_close(tower, oracle.tensors[f"tower_features.{name}"], **TOLERANCE)
        torch.testing.assert_close(features.pooler_output[0], oracle.tensors[f"image_features.{name}"], **TOLERANCE)


def test_logits_are_equal_at_every_position(oracle: Oracle, attention: str):
    for name, prompt in oracle.record["prompts"].items():
        with oracle.original_capacity(name):
            logits = oracle.forward(name).logits[0]
        assert len(logits) == prompt["positions"]
        torch.testing.assert_close(logits[:, : prompt["logit_columns"]], oracle.tensors[f"{name}.logits"], **TOLERANCE)


def test_router_logits_experts_weights_and_balance_are_equal(oracle: Oracle):
    for name, prompt in oracle.record["prompts"].items():
        if not prompt.get("moe"):
            assert not oracle.model.config.moe.layers
            continue
        with oracle.original_capacity(name), record_routing(oracle.model) as routing:
            output = oracle.forward(name)
        l_aux = []
        for index, (router_logits, top_k_weights, top_k_index) in routing.items():
            key = f"{name}.layer{index}"
            torch.testing.assert_close(router_logits, oracle.tensors[f"{key}.router_logits"], **TOLERANCE)
            combine = torch.zeros_like(router_logits).scatter(-1, top_k_index, top_k_weights)
            assert torch.equal(combine > 0, oracle.tensors[f"{key}.combine_weights"] > 0)
            torch.testing.assert_close(combine, oracle.tensors[f"{key}.combine_weights"], **TOLERANCE)
            counts = torch.bincount(top_k_index[:, 0], minlength=router_logits.shape[-1])
            assert torch.equal(counts, oracle.tensors[f"{key}.top1_counts"].to(counts.dtype))
            l_aux.append(prompt["moe"][str(index)]["l_aux"])
        assert output.aux_loss.item() == pytest.approx(sum(l_aux), abs=2e-5)


def test_greedy_generation_is_equal_token_for_token(oracle: Oracle, attention: str):
    for name, prompt in oracle.record["prompts"].items():
        with oracle.original_capacity(name):
            assert oracle.generate(name) == [prompt["greedy_16"]]


def test_batch_equals_each_prompt_alone(oracle: Oracle):
    names = list(oracle.record["prompts"])
    alone = {name: oracle.forward(name).logits[0] for name in names}
    for side in ("left", "right"):
        inputs = oracle.inputs(*names, padding=True, padding_side=side)
        rows = oracle.forward(*names, padding=True, padding_side=side).logits
        for name, row, mask in zip(names, rows, inputs["attention_mask"].bool(), strict=True):
            torch.testing.assert_close(row[mask], alone[name], **TOLERANCE)
    assert oracle.generate(*names) == [oracle.generate(name)[0] for name in names]


def test_recorded_gumbel_noise_gives_the_recorded_routing(oracle: Oracle, monkeypatch: pytest.MonkeyPatch):
    blocks = oracle.model.model.sparse_blocks()
    keys = {index: f"single_noisy.layer{index}.gumbel" for index in blocks}
    if not blocks or keys[min(keys)] not in oracle.tensors:
        pytest.skip("no noisy run was recorded for this case")
    for index, block in blocks.items():
        monkeypatch.setattr(block.router, "second_choice_noise", lambda _, key=keys[index]: oracle.tensors[key])
    with oracle.original_capacity("single_noisy"), record_routing(oracle.model) as routing:
        logits = oracle.forward("single").logits[0]
    for index, (router_logits, top_k_weights, top_k_index) in routing.items():
        combine = torch.zeros_like(router_logits).scatter(-1, top_k_index, top_k_weights)
        torch.testing.assert_close(combine, oracle.tensors[f"single_noisy.layer{index}.combine_weights"], **TOLERANCE)
    expected = oracle.tensors["single_noisy.logits"]
    torch.testing.assert_close(logits[:, : expected.shape[-1]], expected, **TOLERANCE)


@contextmanager
def record_routing(model: MoELlavaForConditionalGeneration):
    """What every router returned in one forward pass: layer -> (router_logits, top_k_weights, top_k_index)."""
    routing: dict[int, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}

    def keep(index):
        def hook(module, args, output):
            routing[index] = output

        return hook

    handles = [block.router.register_forward_hook(keep(index)) for index, block in model.model.sparse_blocks().items()]
    try:
        yield routing
    finally:
        for handle in handles:
            handle.remove()
