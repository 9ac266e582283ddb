"""Damaged checkpoints of every kind: one clear line each, and nothing left behind."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from moellava.convert import ConversionError, convert
from tests.upstream_checkpoints import change_config, change_weights, copy_checkpoint, read_weights, tower_folder


@pytest.mark.parametrize("content", [b"", b"hello", b"<html>404</html>", b"\x00" * 100])
def test_a_bin_file_that_is_empty_or_no_torch_file_is_named(tmp_path, complaint, content):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    (source / "pytorch_model.bin").write_bytes(content)
    assert str(source / "pytorch_model.bin") in complaint(source)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: {**s, 3: torch.ones(1)},
        lambda s: {k: v.to_sparse() if v.dim() == 2 else v for k, v in s.items()},
        lambda s: {k: v.to("meta") for k, v in s.items()},
    ],
    ids=["key 3", "sparse", "meta"],
)
def test_a_tensor_that_is_not_plain_is_named(tmp_path, complaint, change):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    change_weights(source / "pytorch_model.bin", change)
    assert str(source / "pytorch_model.bin") in complaint(source)


@pytest.mark.parametrize("case", ["llava-1.5", "moe-llava-mistral"])
@pytest.mark.parametrize("content", [None, b""])
def test_a_missing_sentencepiece_model_is_an_error(tmp_path, complaint, case, content):
    source = copy_checkpoint(case, tmp_path)
    path = source / "tokenizer.model"
    path.unlink() if content is None else path.write_bytes(content)
    assert "tokenizer" in complaint(source)


@pytest.mark.parametrize("kept", [0, 200])
@pytest.mark.parametrize(
    ("case", "file"), [("moe-llava-qwen", "qwen.tiktoken"), ("moe-llava-stablelm", "arcade100k.tiktoken")]
)
def test_a_truncated_rank_file_is_an_error(tmp_path, complaint, case, file, kept):
    source = copy_checkpoint(case, tmp_path)
    lines = (source / file).read_text().splitlines(keepends=True)
    (source / file).write_text("".join(lines[:kept]))
    assert file in complaint(source)


def test_an_expert_of_another_dtype_is_not_rounded_in_silence(tmp_path):
    source, key = (
        copy_checkpoint("moe-llava-phi", tmp_path),
        "model.layers.0.mlp.deepspeed_moe.experts.deepspeed_experts.2.fc1.weight",
    )
    exact = torch.full((128, 64), 1 + 2**-20)
    change_weights(source / "pytorch_model.bin", lambda state: {**state, key: exact})
    try:
        tensors = read_weights(convert(source, tmp_path / "out"))
    except ConversionError:
        return
    assert torch.equal(tensors["model.language_model.layers.0.mlp.experts.up_proj"][2], exact)


@pytest.mark.parametrize(
    ("case", "changes"),
    [
        ("moe-llava-phi", {"moe": {"moe_layers_idx": [0, 9]}}),
        ("moe-llava-phi", {"moe": {"top_k_experts": 5}}),
        ("moe-llava-phi", {"moe": {"num_experts": []}}),
        ("moe-llava-phi", {"moe": {"num_experts": "4"}}),
        ("moe-llava-phi", {"moe": {"moe_layers_idx": "sparse"}}),
        ("moe-llava-phi", {"moe": "yes"}),
        ("moe-llava-phi", {"num_attention_heads": "four"}),
        ("moe-llava-phi", {"hidden_act": "gelatine"}),
        ("moe-llava-phi", {"rope_scaling": "yes"}),
        ("moe-llava-phi", {"model_type": 5}),
        ("moe-llava-phi", {"mm_image_tower": 5}),
        ("moe-llava-phi", {"mm_vision_select_layer": "last"}),
        ("moe-llava-qwen", {"intermediate_size": ...}),
        ("moe-llava-qwen", {"num_attention_heads": ...}),
    ],
    ids=str,
)
def test_a_configuration_of_the_wrong_kind_is_one_line(tmp_path, complaint, case, changes):
    source = copy_checkpoint(case, tmp_path)
    change_config(source, **changes)
    assert "config.json" in complaint(source)


@pytest.mark.parametrize("text", ["[]", "null", '"phi"'])
def test_a_configuration_that_is_no_object_is_one_line(tmp_path, complaint, text):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    (source / "config.json").write_text(text)
    assert "config.json" in complaint(source)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("tokenizer_config.json", "{"),
        ("tokenizer_config.json", "[]"),
        ("vocab.json", "{"),
        ("vocab.json", "[]"),
        ("merges.txt", "\x00"),
    ],
)
def test_a_broken_tokenizer_file_is_one_line(tmp_path, complaint, file, text):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    (source / file).write_text(text)
    assert str(source) in complaint(source)


@pytest.mark.parametrize("text", ["[]", "{}", '{"model_type": "nonsense"}'])
def test_a_tower_configuration_of_no_known_type_is_one_line(tmp_path, complaint, text):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    (tower_folder(source) / "config.json").write_text(text)
    assert str(tower_folder(source)) in complaint(source)


def test_no_lock_is_left(tmp_path, complaint):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    change_config(source, vocab_size=100)
    complaint(source)
    assert list((tmp_path / "out").iterdir()) == []


def test_messages_about_the_configuration_name_its_folder(tmp_path, complaint):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    change_config(source, image_projector_type="linear")
    assert str(source) in complaint(source)


@pytest.mark.slow
def test_a_pickle_of_another_protocol_is_one_line(tmp_path):
    source = copy_checkpoint("moe-llava-phi", tmp_path)
    (source / "pytorch_model.bin").write_bytes(pickle.dumps({"x": Path}, protocol=4))
    done = subprocess.run(
        [Path(sys.executable).with_name("moellava"), "convert", source, tmp_path / "o"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
