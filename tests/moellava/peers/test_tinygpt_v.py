"""A converted TinyGPT-V checkpoint gives what the authors' code gave on it: tests/data/oracle/tinygpt-v and --oracle DIR."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from moellava.convert import ConversionError, convert
from tests.moellava.peers.recorded import TOLERANCE, RecordedCase, up_to

ORACLE_FORMAT = "tinygpt-v"
RECORDED = Path(__file__).parents[2] / "data" / "oracle" / "tinygpt-v" / "checkpoint"
TRAINED = "TinyGPT-V_for_Stage4.pth"
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def case(oracle_case: Path, tmp_path_factory: pytest.TempPathFactory) -> RecordedCase:
    return RecordedCase(oracle_case, tmp_path_factory.mktemp("tinygpt-v") / oracle_case.name)


def prompt_inputs(case: RecordedCase, *prompts: dict, **options: Any):
    return case.inputs([prompt["prompt"] for prompt in prompts], [prompt["images"] for prompt in prompts], **options)


def test_input_ids_are_equal(case: RecordedCase):
    for prompt in case.record["prompts"].values():
        ids = prompt_inputs(case, prompt)["input_ids"][0].tolist()
        assert len(ids) == prompt["positions"]
        rows, picture = case.processor.num_image_tokens, case.processor.image_token_id
        expected = [
            picture if token == -200 else token
            for token in prompt["input_ids"]
            for _ in range(rows if token == -200 else 1)
        ]
        assert ids == expected


def test_the_chat_template_renders_the_recorded_prompts(case: RecordedCase):
    for prompt in case.record["prompts"].values():
        picture = "<Img><ImageHere></Img> "
        turns = prompt["prompt"].removeprefix("###Human: ").removesuffix("###Assistant: ").split("###")
        messages = []
        for turn in turns:
            role = "assistant" if turn.startswith("Assistant: ") else "user"
            text = turn.removeprefix("Assistant: ").removeprefix("Human: ")
            items = [{"type": "image"}] * text.count(picture) + [{"type": "text", "text": text.replace(picture, "")}]
            messages.append({"role": role, "content": items})
        assert case.processor.apply_chat_template(messages, add_generation_prompt=True) == prompt["prompt"]


def test_pixel_values_are_equal(case: RecordedCase):
    for name, expected in case.recorded("pixel_values").items():
        assert torch.equal(case.pixel_values(name)[0], expected)


@torch.inference_mode()
def test_features_are_equal_at_every_stage(case: RecordedCase):
    model = case.model.model
    table = model.vision_tower.embeddings.position_embedding[0]
    torch.testing.assert_close(table, case.tensors["position_table"], **TOLERANCE)
    seen: dict[str, torch.Tensor] = {}

    def keep(stage: str):
        def hook(module: torch.nn.Module, inputs: tuple) -> None:
            seen.setdefault(stage, inputs[0][0])  # the tower's norm is called again, for a pooled output

        return hook

    entrances = {
        "vision_features": model.vision_tower.post_layernorm,
        "qformer_output": model.multi_modal_projector.linear_1,
    }
    handles = [module.register_forward_pre_hook(keep(stage)) for stage, module in entrances.items()]
    for name in case.recorded("image_features"):
        seen.clear()
        seen["image_features"] = model.get_image_features(case.pixel_values(name)).pooler_output[0]
        for stage in ("vision_features", "qformer_output", "image_features"):
            torch.testing.assert_close(seen[stage], case.recorded(stage)[name], **TOLERANCE)
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@torch.inference_mode()
def test_logits_are_equal(case: RecordedCase, attention: str):
    case.model.set_attn_implementation(attention)
    for name, prompt in case.record["prompts"].items():
        case.check_logits(name, prompt_inputs(case, prompt))


def test_greedy_tokens_are_equal(case: RecordedCase):
    end = {case.record["tokenizer"]["generation_eos"]}
    for prompt in case.record["prompts"].values():
        (ids,) = case.greedy(prompt_inputs(case, prompt), len(prompt["greedy_16"]))
        assert up_to(ids, end) == up_to(prompt["greedy_16"], end)


@torch.inference_mode()
def test_a_batch_padded_on_the_left_is_equal(case: RecordedCase):
    batch = case.record["batch"]
    inputs = prompt_inputs(case, *(case.record["prompts"][name] for name in batch["prompts"]), padding=True)
    case.check_batch(inputs, batch["greedy_20"], end=case.record["tokenizer"]["generation_eos"])


@torch.inference_mode()
def test_candidates_have_the_recorded_likelihood(case: RecordedCase):
    recorded = case.record["multi_select"]
    bos = case.processor.tokenizer.bos_token
    inputs = case.inputs([bos + recorded["instruction"]], [[recorded["image"]]])
    losses = [case.loss(inputs, target) for target in recorded["answer_ids"]]
    assert losses == pytest.approx(recorded["losses"], abs=1e-5)


def test_an_answer_ends_where_the_next_turn_begins(case: RecordedCase):
    assert case.record["tokenizer"]["hashes"] in case.model.generation_config.eos_token_id
    assert case.record["tokenizer"]["eos"] in case.model.generation_config.eos_token_id


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the recorded checkpoint, to be changed."""
    return Path(shutil.copytree(RECORDED, tmp_path / "source", copy_function=shutil.copy))


def converted(source: Path, out: Path) -> dict[str, torch.Tensor]:
    return load_file(convert(source, out) / "model.safetensors")


def change_trained(source: Path, change) -> None:
    saved = torch.load(source / TRAINED, weights_only=True)
    saved["model"] = change(saved["model"])
    torch.save(saved, source / TRAINED)


def test_todays_layout_of_phi_2_gives_the_same_weights(source: Path, tmp_path: Path):
    expected = converted(source, tmp_path / "fused")
    heads = json.loads((source / "phi-2" / "config.json").read_text())["num_attention_heads"]
    phi: dict[str, torch.Tensor] = {}
    for name, tensor in load_file(source / "phi-2" / "model.safetensors").items():
        if ".query_key_value." in name:
            parts = tensor.view(heads, 3, -1, *tensor.shape[1:])
            for index, part in enumerate("qkv"):
                phi[name.replace("query_key_value", f"{part}_proj")] = parts[:, index].flatten(0, 1).contiguous()
        else:
            phi[name] = tensor
    save_file(phi, source / "phi-2" / "model.safetensors", metadata={"format": "pt"})
    ours = converted(source, tmp_path / "split")
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name], expected[name]) for name in expected)


def test_a_stage_without_lora_and_q_former_takes_them_from_the_other_files(source: Path, tmp_path: Path):
    blip2 = torch.load(source / "blip2_pretrained_flant5xxl.pth", weights_only=True)["model"]
    phi = load_file(source / "phi-2" / "model.safetensors")

    def first_stage(model: dict) -> dict:
        kept = {name: value for name, value in model.items() if "lora" not in name and "former" not in name}
        kept.pop("query_tokens", None)
        return {name.replace("base_model.model.", ""): value for name, value in kept.items()}

    change_trained(source, first_stage)
    ours = converted(source, tmp_path / "out")
    assert torch.equal(ours["model.multi_modal_projector.query_tokens"], blip2["query_tokens"])
    dense = "layers.0.self_attn.dense.weight"
    assert torch.equal(ours[f"model.language_model.{dense}"], phi[f"model.{dense}"])


def without_projection(model: dict) -> dict:
    return {name: value for name, value in model.items() if name != "llama_proj2.weight"}


def with_a_stranger(model: dict) -> dict:
    return {**model, "llama_model.model.stranger": torch.zeros(1)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_projection, r"missing key llama_proj2\.weight"),
        (with_a_stranger, r"unexpected key 'model\.stranger'"),
    ],
)
def test_a_damaged_training_file_is_refused(source: Path, tmp_path: Path, change, message: str):
    change_trained(source, change)
    with pytest.raises(ConversionError, match=message):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_download_is_named(source: Path, tmp_path: Path):
    (source / "eva_vit_g.pth").unlink()
    with pytest.raises(ConversionError, match=r"eva_vit_g\.pth not found; TinyGPT-V needs"):
        convert(source, tmp_path / "out")
