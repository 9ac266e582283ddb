"""A converted Qwen-VL checkpoint gives what the authors' code gave on it: tests/data/oracle/qwen-vl and --oracle DIR."""

import json
import math
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from moellava.convert import ConversionError
from moellava.peers.qwen_vl.convert import convert
from moellava.peers.qwen_vl.vision import Resampler
from tests.moellava.peers.recorded import TOLERANCE, RecordedCase, up_to

ORACLE_FORMAT = "qwen-vl"
PATH = re.compile(r"<img>([^<]*)</img>")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def case(oracle_case: Path, tmp_path_factory: pytest.TempPathFactory) -> RecordedCase:
    return RecordedCase(oracle_case, tmp_path_factory.mktemp("qwen-vl") / oracle_case.name)


def prompt_inputs(case: RecordedCase, *prompts: str, **options):
    """Prompts as they were recorded, with the path of each picture inside."""
    images = [[Path(path).name for path in PATH.findall(prompt)] for prompt in prompts]
    return case.inputs([with_placeholders(prompt) for prompt in prompts], images, **options)


def with_placeholders(prompt: str) -> str:
    return PATH.sub("<img><imgpad></img>", prompt)


def ids_without_paths(case: RecordedCase, ids: list[int]) -> list[int]:
    """The original puts a picture's path, one byte per id, where we put placeholders."""
    first, last, pad = (case.record["tokenizer"][name] for name in ("img", "img_end", "imgpad"))
    inside, plain = False, []
    for token in ids:
        inside = inside and token != last
        plain.append(pad if inside else token)
        inside = inside or token == first
    return plain


def chat_messages(prompt: dict) -> list[dict]:
    """A recorded query and its history as messages with pictures as content items."""
    turns = [turn for pair in prompt["history"] or [] for turn in pair] + [prompt["query"]]
    return [{"role": ("user", "assistant")[i % 2], "content": content_items(turn)} for i, turn in enumerate(turns)]


def content_items(turn: str) -> list[dict]:
    parts = re.split(r"(?:Picture \d+: )?(<img>[^<]*</img>)\n?", turn)
    return [{"type": "image"} if part.startswith("<img>") else {"type": "text", "text": part} for part in parts if part]


def test_input_ids_are_equal(case: RecordedCase):
    for prompt in case.record["prompts"].values():
        ids = prompt_inputs(case, prompt["prompt"])["input_ids"][0].tolist()
        assert ids == ids_without_paths(case, prompt["input_ids"])
        assert len(ids) == prompt["positions"]


def test_the_chat_template_renders_the_recorded_prompts(case: RecordedCase):
    chats = [prompt for prompt in case.record["prompts"].values() if prompt["chat_format"] == "chatml"]
    rendered = 0
    for prompt in chats:
        if "Picture 1" in prompt["query"] or not PATH.search(prompt["query"]):
            text = case.processor.apply_chat_template(chat_messages(prompt), add_generation_prompt=True)
            assert text == with_placeholders(prompt["prompt"])
            rendered += 1
    assert rendered


def test_text_is_tokenised_as_the_original_does(case: RecordedCase):
    picture = f"<img>{'<imgpad>' * case.record['tokenizer']['span']}</img>"
    for vector in case.record["tokenizer_vectors"]:
        ids = case.processor.tokenizer(PATH.sub(picture, vector["text"]))["input_ids"]
        assert ids == ids_without_paths(case, vector["input_ids"]), vector["text"]
    for vector in case.record["decode"]:
        if case.record["tokenizer"]["img"] not in vector["ids"]:
            decode = case.processor.tokenizer.decode
            assert decode(vector["ids"]) == vector["text"]
            assert decode(vector["ids"], skip_special_tokens=True) == vector["skip_special"]


def test_end_markers_typed_by_a_user_stay_text(case: RecordedCase):
    recorded = case.record["special_tokens_in_user_text"]
    text = case.processor.apply_chat_template(
        [{"role": "user", "content": recorded["query"]}], add_generation_prompt=True
    )
    assert case.processor.tokenizer(text)["input_ids"] == recorded["input_ids"]


def test_pixel_values_are_equal(case: RecordedCase):
    for name, expected in case.recorded("pixel_values").items():
        assert torch.equal(case.pixel_values(name)[0], expected)


@torch.inference_mode()
def test_features_are_equal_at_every_stage(case: RecordedCase):
    seen: dict[str, torch.Tensor] = {}
    tower = case.model.model.vision_tower
    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: seen.update({name: output[0]}))
        for name, module in (("patches_after_ln_pre", tower.pre_layernorm), ("resampled", tower.resampler))
    ]
    for name in case.recorded("image_features"):
        seen["image_features"] = case.model.model.get_image_features(case.pixel_values(name)).pooler_output[0]
        for stage, rows in seen.items():
            expected = case.recorded(stage).get(name)
            if expected is not None:
                step = math.ceil(len(rows) / len(expected))  # every 4th, 8th or 16th was recorded
                torch.testing.assert_close(rows[::step], expected, **TOLERANCE)
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@torch.inference_mode()
def test_logits_are_equal(case: RecordedCase, attention: str):
    case.model.set_attn_implementation(attention)
    for name, prompt in case.record["prompts"].items():
        case.check_logits(name, prompt_inputs(case, prompt["prompt"]))


def test_greedy_tokens_are_equal(case: RecordedCase):
    ends = set(case.model.generation_config.eos_token_id)
    for prompt in case.record["prompts"].values():
        (ids,) = case.greedy(prompt_inputs(case, prompt["prompt"]), len(prompt["greedy_16"]))
        assert up_to(ids, ends) == up_to(prompt["greedy_16"], ends)


@torch.inference_mode()
def test_a_batch_padded_on_the_left_is_equal(case: RecordedCase):
    batch = case.record["batch"]
    prompts = [case.record["prompts"][name]["prompt"] for name in batch["prompts"]]
    inputs = prompt_inputs(case, *prompts, padding=True)
    assert inputs["input_ids"].tolist() == [
        ids_without_paths(case, ids) for ids in case.tensors["batch_left.input_ids"].tolist()
    ]
    case.check_batch(inputs, batch["greedy_10"], end=batch["pad_token_id"])


@torch.inference_mode()
def test_long_prompts_in_a_padded_batch_answer_as_alone(case: RecordedCase):
    """Each prompt keeps its own rotary base and positions: the original, which counts padding, is not followed there."""
    prompts = [
        case.record["prompts"][name]["prompt"] for name in ("long", "vqa_square") if name in case.record["prompts"]
    ]
    alone = [case.greedy(prompt_inputs(case, prompt), 8)[0] for prompt in prompts]
    assert case.greedy(prompt_inputs(case, *prompts, padding=True), 8) == alone


@torch.inference_mode()
def test_options_have_the_recorded_likelihood(case: RecordedCase):
    recorded = case.record["multiple_choice"]
    inputs = prompt_inputs(case, recorded["prompt"])
    assert inputs["input_ids"][0].tolist() == ids_without_paths(case, recorded["input_ids"])
    losses = [case.loss(inputs, target) for target in recorded["target_ids"]]
    assert losses == pytest.approx(recorded["losses"], abs=1e-5)
    assert min(range(len(losses)), key=losses.__getitem__) == recorded["chosen"]


def hashed(index: int, shape: list[int], name: str) -> torch.Tensor:
    """Weights by formula (PEERS.md): the recording names their shapes only."""
    numbers = torch.arange(math.prod(shape), dtype=torch.int64)
    mask = (1 << 32) - 1
    h = (2654435761 * numbers + 40503 * index + 12345) & mask
    h = (2246822519 * (h ^ (h >> 16))) & mask
    h = (3266489917 * (h ^ (h >> 13))) & mask
    h = h ^ (h >> 16)
    scale = 1.7 / math.sqrt(shape[-1]) if len(shape) > 1 else 0.1
    values = ((h.double() / 2**32 - 0.5) * 2 * scale).float()
    return (values + (1.0 if len(shape) == 1 and name.endswith("weight") else 0.0)).view(shape)


def sine_table(size: int, grid: int) -> torch.Tensor:
    """First half of a row encodes the column, second half the row; each half sines, then cosines."""

    def encode(positions: torch.Tensor) -> torch.Tensor:
        omega = 1.0 / 10000 ** (torch.arange(size // 4, dtype=torch.float64) / (size / 4))
        angles = positions.double().flatten()[:, None] * omega
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    rows, columns = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    return torch.cat([encode(columns), encode(rows)], dim=1).float()


@torch.inference_mode()
def test_a_resampler_of_two_heads_is_equal(case: RecordedCase):
    recorded = case.record["resampler_heads"]
    queries = recorded["grid_size"] ** 2
    resampler = Resampler(queries, recorded["embed_dim"], recorded["heads"], recorded["kv_dim"])
    weights = {
        name: hashed(k, shape, name) for k, (name, shape) in enumerate(sorted(map(tuple, recorded["parameters"])))
    }
    weights["pos_embed"] = sine_table(recorded["embed_dim"], recorded["grid_size"])
    resampler.load_state_dict(weights)
    output = resampler(case.tensors["resampler_heads.input"])
    torch.testing.assert_close(output, case.tensors["resampler_heads.output"], **TOLERANCE)


def test_shards_give_the_same_weights_as_one_file(tmp_path: Path, oracle_case: Path):
    source = Path(shutil.copytree(oracle_case / "checkpoint", tmp_path / "source", copy_function=shutil.copy))
    weights = {name: tensor for path in source.glob("*.bin") for name, tensor in torch.load(path).items()}
    for path in source.glob("*.bin*"):
        path.unlink()
    shards = {f"pytorch_model-{n:05d}-of-00003.bin": list(weights)[n - 1 :: 3] for n in (1, 2, 3)}
    for file, names in shards.items():
        torch.save({name: weights[name].clone() for name in names}, source / file)
    weight_map = {name: file for file, names in shards.items() for name in names}
    (source / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    one, other = (
        load_file(convert(folder, tmp_path / folder.parent.name) / "model.safetensors")
        for folder in (oracle_case / "checkpoint", source)
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_nothing_is_created_from_a_cut_off_vocabulary(tmp_path: Path, oracle_case: Path):
    for path in (oracle_case / "checkpoint").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    ranks = tmp_path / "qwen.tiktoken"
    ranks.write_bytes(b"".join(ranks.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(ConversionError, match=r"qwen\.tiktoken: <img> would be token"):
        convert(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
