"""A conversion loses nothing, and whatever is wrong with its source is one clear line that leaves nothing behind."""

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from moellava import MoELlavaConfig, MoELlavaForConditionalGeneration, MoELlavaProcessor
from moellava.convert import ConversionError, convert
from tests.moellava.convert.conftest import left_in
from tests.tiny_llava import save_tiny_llava
from tests.upstream_checkpoints import (
    CASES,
    change_config,
    change_weights,
    copy_checkpoint,
    read_weights,
    tower_folder,
)

KEY = "model.layers.1.mlp.fc1.weight"  # of moe-llava-phi


# What is kept


def scalars(tensors: list[torch.Tensor]) -> torch.Tensor:
    """All values, sorted."""
    return torch.cat([tensor.float().flatten() for tensor in tensors]).sort().values


@pytest.mark.parametrize("case", CASES)
def test_every_value_of_the_source_is_in_the_result_and_no_other(tmp_path, case):
    source = copy_checkpoint(case, tmp_path)
    out = convert(source, tmp_path / "out")
    copies = ("model.image_tower.image_tower.", "transformer.image_tower.image_tower.")
    language = [tensor for name, tensor in read_weights(source).items() if not name.startswith(copies)]
    tower = read_weights(tower_folder(source))
    vision = [t for name, t in tower.items() if name.startswith("vision_model.") and not name.endswith("position_ids")]
    assert torch.equal(scalars(list(read_weights(out).values())), scalars([*language, *vision]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_values_keep_their_dtype(tmp_path, dtype):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    for path in (source / "pytorch_model.bin", tower_folder(source) / "pytorch_model.bin"):
        change_weights(path, lambda state: {name: tensor.to(dtype) for name, tensor in state.items()})
    out = convert(source, tmp_path / "out")
    assert {tensor.dtype for tensor in read_weights(out).values()} == {dtype}
    assert {p.dtype for p in MoELlavaForConditionalGeneration.from_pretrained(out).parameters()} == {dtype}


def test_a_tower_may_have_another_dtype_than_its_language_model(tmp_path):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    path = tower_folder(source) / "pytorch_model.bin"
    change_weights(path, lambda state: {name: tensor.to(torch.float16) for name, tensor in state.items()})
    out = convert(source, tmp_path / "out")
    found = {(name.split(".")[1], tensor.dtype) for name, tensor in read_weights(out).items() if "model." in name}
    parts = {"language_model": torch.bfloat16, "multi_modal_projector": torch.bfloat16, "vision_tower": torch.float16}
    assert found == set(parts.items())
    assert MoELlavaConfig.from_pretrained(out).dtype == torch.bfloat16


def test_safetensors_are_preferred_where_both_forms_lie(tmp_path):
    source = copy_checkpoint("moe-llava-phi-siglip", tmp_path)
    (source / "pytorch_model.bin").write_bytes(b"never read")
    convert(source, tmp_path / "out")


def test_left_overs_of_training_are_not_touched(tmp_path):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    for name in ("training_args.bin", "optimizer.pt", "global_step9/states.pt"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(pickle.dumps(Foreign(tmp_path / "executed")))
    (source / "trainer_state.json").write_text("{")
    convert(source, tmp_path / "out")
    assert not (tmp_path / "executed").exists()


def test_pickles_of_old_torch_versions_are_read(tmp_path):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    expected = read_weights(convert(source, tmp_path / "expected"))
    state = read_weights(source)
    torch.save(state, source / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    found = read_weights(convert(source, tmp_path / "out"))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())


def test_weights_that_share_their_storage_are_written_twice(tmp_path):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    name = "model.embed_tokens.weight"
    change_weights(source / "pytorch_model.bin", lambda state: {**state, "lm_head.weight": state[name]})
    model = MoELlavaForConditionalGeneration.from_pretrained(convert(source, tmp_path / "out"))
    assert torch.equal(model.lm_head.weight, model.get_input_embeddings().weight)


def test_buffers_of_old_exports_and_a_head_bias_are_left_out(tmp_path):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    extra = ("model.layers.0.self_attn.rotary_emb.inv_freq", "lm_head.bias")
    change_weights(source / "pytorch_model.bin", lambda state: {**state, **dict.fromkeys(extra, torch.ones(8))})
    convert(source, tmp_path / "out")


# Weights that are damaged


@pytest.mark.parametrize(
    ("case", "shard"),
    [
        ("llava-1.5", "pytorch_model-00002-of-00003.bin"),
        ("llava-phi", "model-00003-of-00003.safetensors"),
    ],
)
def test_a_missing_shard_is_named(tmp_path, complaint, case, shard):
    source = copy_checkpoint(case, tmp_path)
    (source / shard).unlink()
    assert shard in complaint(source)


def test_a_folder_without_weights_is_named(tmp_path, complaint):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    (source / "pytorch_model.bin").unlink()
    line = complaint(source)
    assert str(source) in line
    assert "no weights" in line


@pytest.mark.parametrize("text", ["{", "{}", '{"weight_map": []}'])
def test_a_broken_index_is_named(tmp_path, complaint, text):
    source = copy_checkpoint("llava-1.5", tmp_path)
    (source / "pytorch_model.bin.index.json").write_text(text)
    assert "pytorch_model.bin.index.json" in complaint(source)


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        "lm_head.weight",
        "model.layers.0.mlp.deepspeed_moe.gate.wg.weight",
        "model.layers.2.mlp.deepspeed_moe.experts.deepspeed_experts.3.fc2.bias",
        "model.mm_projector.image_spatial_proj.2.weight",
    ],
)
def test_a_missing_key_is_named(tmp_path, complaint, key):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    change_weights(source / "pytorch_model.bin", lambda state: {k: t for k, t in state.items() if k != key})
    line = complaint(source)
    assert f"missing key {key}" in line
    assert str(source) in line


@pytest.mark.parametrize(
    "key",
    [
        "model.layers.9.mlp.fc1.weight",
        "model.layers.0.mlp.fc1.weight",  # dense, although layer 0 is sparse
        "model.layers.0.mlp.deepspeed_moe.experts.deepspeed_experts.4.fc1.weight",
        "lora_A.weight",
    ],
)
def test_an_extra_key_is_named(tmp_path, complaint, key):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    change_weights(source / "pytorch_model.bin", lambda state: {**state, key: torch.ones(2)})
    line = complaint(source)
    assert f"unexpected key '{key}'" in line
    assert str(source / "pytorch_model.bin") in line


@pytest.mark.parametrize("shape", [(64, 128), (128,), (), (128, 65), (1, 128, 64)])
def test_a_wrong_shape_is_named(tmp_path, complaint, shape):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    change_weights(source / "pytorch_model.bin", lambda state: {**state, KEY: torch.ones(shape)})
    line = complaint(source)
    assert str(source / "pytorch_model.bin") in line
    assert f"key '{KEY}' has shape {list(shape)}" in line
    assert "[128, 64]" in line


@pytest.mark.parametrize("shape", [(48, 144), (143, 48), (3, 48, 48)])
def test_a_wrong_shape_of_fused_attention_is_named(tmp_path, complaint, shape):
    source, key = copy_checkpoint("moe-llava-qwen", tmp_path), "transformer.h.0.attn.c_attn.weight"
    change_weights(source / "pytorch_model.bin", lambda state: {**state, key: torch.ones(shape)})
    line = complaint(source)
    assert f"key '{key}' has shape {list(shape)}" in line
    assert "[144, 48]" in line


def test_a_key_that_two_shards_hold_is_named(tmp_path, complaint):
    source = copy_checkpoint("llava-1.5", tmp_path)
    shards = sorted(source.glob("*.bin"))
    key, tensor = next(iter(read_weights(shards[0]).items()))
    change_weights(shards[2], lambda state: {**state, key: tensor})
    line = complaint(source)
    assert f"key '{key}'" in line
    assert all(shard.name in line for shard in (shards[0], shards[2]))


@pytest.mark.parametrize("kept", [0, 7, 1000, -100])
def test_a_truncated_safetensors_file_is_named(tmp_path, complaint, kept):
    source = copy_checkpoint("moe-llava-phi-siglip", tmp_path)
    path = source / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    assert str(path) in complaint(source)


@pytest.mark.parametrize("kept", [1000, -100])
def test_a_truncated_torch_file_is_named(tmp_path, complaint, kept):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    path = source / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:kept])
    assert str(path) in complaint(source)


def test_a_damaged_tower_is_named(tmp_path, complaint):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    path = tower_folder(source) / "pytorch_model.bin"
    key = "vision_model.encoder.layers.0.mlp.fc1.weight"
    change_weights(path, lambda state: {**state, key: torch.ones(3)})
    line = complaint(source)
    assert str(path) in line
    assert key in line


# Pickles


class Foreign:
    """What would create a file if it were unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def save_in_zip(state: dict, path: Path) -> None:
    torch.save(state, path)


def save_as_old_torch_did(state: dict, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


def save_as_plain_pickle(state: dict, path: Path) -> None:
    path.write_bytes(pickle.dumps(state, protocol=2))


@pytest.mark.parametrize("save", [save_in_zip, save_as_old_torch_did, save_as_plain_pickle])
def test_a_pickle_with_a_foreign_object_is_refused_and_not_executed(tmp_path, complaint, save):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    path, trace = source / "pytorch_model.bin", tmp_path / "executed"
    save({KEY: torch.ones(128, 64) if save is not save_as_plain_pickle else 1, "x": Foreign(trace)}, path)
    line = complaint(source)
    assert str(path) in line
    assert "refused" in line
    assert not trace.exists()
    pickle.loads(pickle.dumps(Foreign(trace)))
    assert trace.exists(), "the object of this test does nothing"


@pytest.mark.parametrize(
    ("key", "value"), [("step", 3), ("state_dict", {"a": torch.ones(1)}), ("name", "phi"), ("x", None)]
)
def test_an_entry_that_is_no_tensor_is_named(tmp_path, complaint, key, value):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    path = source / "pytorch_model.bin"
    torch.save({**read_weights(path), key: value}, path)
    line = complaint(source)
    assert str(path) in line
    assert f"'{key}'" in line


def test_a_pickle_of_something_else_is_named(tmp_path, complaint):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    path = source / "pytorch_model.bin"
    torch.save([torch.ones(1)], path)
    assert str(path) in complaint(source)


# Configurations that do not fit


def test_a_folder_without_configuration_is_named(tmp_path, complaint):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    (source / "config.json").unlink()
    assert str(source / "config.json") in complaint(source)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe"])
def test_a_configuration_that_is_not_json_is_named(tmp_path, complaint, text):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    (source / "config.json").write_bytes(text)
    line = complaint(source)
    assert str(source / "config.json") in line
    assert "not JSON" in line


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "moe_llava_minicpm"}, "MiniCPM is not supported"),
        ({"model_type": "llava_minicpm"}, "MiniCPM is not supported"),
        ({"model_type": "moe_llava_gemma"}, "'moe_llava_gemma'"),
        ({"model_type": ...}, "model_type"),
        ({"mm_image_tower": ...}, "not a LLaVA or MoE-LLaVA checkpoint"),
        ({"mm_image_tower": None}, "mm_image_tower"),
        ({"image_projector_type": "linear"}, "'linear'"),
        ({"image_projector_type": ...}, "projector"),
        ({"mm_vision_select_feature": "cls_patch"}, "'cls_patch'"),
        ({"mm_use_im_start_end": True}, "mm_use_im_start_end"),
        ({"moe": {"use_residual": True}}, "use_residual"),
        ({"moe": {"top_k_experts": None}}, "top_k_experts"),
        ({"moe": {"moe_layers_idx": None}}, "moe_layers_idx"),
        ({"moe": {"moe_layers_idx": [0]}}, "model.layers.2.mlp.deepspeed_moe"),
        ({"moe": {"moe_layers_idx": [0, 1]}}, "model.layers.1.mlp."),
        ({"moe": {"num_experts": [3]}}, "[4, 64]"),
        ({"moe": {"num_experts": [5]}}, "[5, 64]"),
        ({"num_hidden_layers": 3}, "model.layers.3."),
        ({"vocab_size": 100}, "[100, 64]"),
        ({"intermediate_size": 100}, "[100, 64]"),
    ],
)
def test_a_configuration_that_does_not_fit_says_why(tmp_path, complaint, changes, said):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    change_config(source, **changes)
    assert said in complaint(source)


def test_qwen_with_partial_rotation_is_refused(tmp_path, complaint):
    source = copy_checkpoint("moe-llava-qwen", tmp_path)
    change_config(source, rotary_pct=0.5)
    assert "rotary_pct 0.5" in complaint(source)


def test_a_llava_of_transformers_is_not_upstreams_llava(tmp_path, complaint):
    line = complaint(save_tiny_llava(tmp_path / "model"))
    assert "model_type 'llava' is not a LLaVA or MoE-LLaVA checkpoint in the upstream format" in line


def test_a_converted_folder_is_not_converted_again(tmp_path, complaint):
    source = convert(copy_checkpoint("llava-phi", tmp_path), tmp_path / "converted")
    assert "'moe_llava'" in complaint(source)


def test_a_raw_folder_says_what_to_run(tmp_path):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    with pytest.raises(ValueError, match=f"moellava convert {source} OUT"):
        MoELlavaForConditionalGeneration.from_pretrained(source)


# The tower


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "pytorch_model.bin"])
def test_a_file_that_the_tower_lacks_is_an_error(tmp_path, complaint, name):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    (tower_folder(source) / name).unlink()
    assert str(tower_folder(source)) in complaint(source)


def test_a_tower_that_is_nowhere_is_named(tmp_path, complaint):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    change_config(source, mm_image_tower="openai/nowhere")
    assert "openai/nowhere: cannot be downloaded" in complaint(source)


def test_a_tower_of_another_kind_is_named(tmp_path, complaint):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    (tower_folder(source) / "config.json").write_text('{"model_type": "bert"}')
    assert "'bert'" in complaint(source)


# Stage 1


@pytest.fixture
def stage_1(tmp_path) -> Path:
    copy_checkpoint("llava-phi", tmp_path)
    return tmp_path / "llava-phi" / "stage1"


@pytest.fixture
def language_model(tmp_path) -> Path:
    """What stage 1 started from: the language model of llava-phi, head bias and all, without projector and tower."""
    folder = tmp_path / "phi"
    source = copy_checkpoint("llava-phi", tmp_path / "base")
    source.rename(folder)
    (folder / "model.safetensors.index.json").unlink()
    state = {k: t for k, t in read_weights(folder).items() if "mm_projector" not in k and "image_tower" not in k}
    for shard in folder.glob("*.safetensors"):
        shard.unlink()
    save_file({**state, "lm_head.bias": torch.ones(len(state["lm_head.weight"]))}, folder / "model.safetensors")
    change_config(folder, model_type="phi", mm_image_tower=..., image_projector_type=...)
    return folder


def test_a_stage_1_folder_needs_its_language_model(complaint, stage_1):
    assert "--base" in complaint(stage_1)


def test_a_stage_1_folder_is_converted_with_its_language_model(tmp_path, stage_1, language_model):
    tensors = read_weights(convert(stage_1, tmp_path / "out", base=language_model))
    projector = torch.load(stage_1 / "mm_projector.bin", weights_only=True)
    for number, linear in ((0, "linear_1"), (2, "linear_2")):
        (expected,) = [t for name, t in projector.items() if name.endswith(f"{number}.weight")]
        assert torch.equal(tensors[f"model.multi_modal_projector.{linear}.weight"], expected)
    base = load_file(language_model / "model.safetensors")
    assert torch.equal(tensors["lm_head.weight"], base["lm_head.weight"])
    assert torch.equal(tensors["model.language_model.layers.3.mlp.fc2.bias"], base["model.layers.3.mlp.fc2.bias"])


def test_stage_1_does_not_pad_pictures(tmp_path, stage_1, language_model):
    out = convert(stage_1, tmp_path / "out", base=language_model)
    assert MoELlavaProcessor.from_pretrained(out).image_processor.do_pad is False


def test_a_whole_model_takes_no_base(tmp_path, complaint, language_model):
    assert "--base" in complaint(copy_checkpoint("moe-llava-phi", tmp_path), "--base", language_model)


def test_a_base_that_is_not_there_is_named(tmp_path, complaint, stage_1):
    assert str(tmp_path / "nowhere") in complaint(stage_1, "--base", tmp_path / "nowhere")


# The folder that is written


def test_an_existing_folder_is_not_touched(tmp_path):
    source, out = copy_checkpoint("moe-llava-phi", tmp_path), tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("precious")
    with pytest.raises(ConversionError, match=f"{out}: exists"):
        convert(source, out)
    assert [path.name for path in out.iterdir()] == ["mine"]


def test_a_conversion_leaves_nothing_beside_its_folder(tmp_path):
    out = tmp_path / "out" / "converted"
    convert(copy_checkpoint("moe-llava-phi", tmp_path), out)
    assert left_in(out.parent) == ["converted"]


def test_folders_on_the_way_are_made(tmp_path):
    out = tmp_path / "a" / "b" / "c"
    assert convert(copy_checkpoint("llava-phi", tmp_path), out) == out
    assert MoELlavaConfig.from_pretrained(out).moe.layers == []


KILLED = """
import os, signal, sys
from pathlib import Path
from moellava import MoELlavaConfig
from moellava.convert import convert

MoELlavaConfig.save_pretrained = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)
convert(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_after_a_kill_the_next_conversion_works(tmp_path):
    source, out = copy_checkpoint("moe-llava-phi", tmp_path), tmp_path / "out" / "converted"
    done = subprocess.run([sys.executable, "-c", KILLED, source, out], env=os.environ, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    assert left_in(out.parent) != []  # it was in the middle
    convert(source, out)
    assert left_in(out.parent) == ["converted"]
    MoELlavaForConditionalGeneration.from_pretrained(out)
