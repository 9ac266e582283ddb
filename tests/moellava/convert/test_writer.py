"""Shards that transformers reads, in a folder that is there as a whole or not at all."""

import errno
import json

import pytest
import torch
from safetensors.torch import load_file

from moellava import MoELlavaForConditionalGeneration
from moellava.convert import ConversionError
from moellava.convert.writer import ShardWriter, whole_folder
from tests.tiny_models import tiny_model


def test_a_model_written_in_pieces_is_loaded(tmp_path):
    model = tiny_model("phi")
    model.config.save_pretrained(tmp_path)
    writer = ShardWriter(tmp_path, max_bytes=50_000)
    for name, tensor in model.state_dict().items():
        writer.add(name, tensor)
    writer.finish()
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert [path.name for path in shards] == [
        f"model-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)
    ]
    assert len(shards) > 1
    loaded = MoELlavaForConditionalGeneration.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in model.state_dict().items())


def test_no_shard_is_larger_than_asked_for_unless_one_tensor_is(tmp_path):
    writer = ShardWriter(tmp_path, max_bytes=100)
    for index, length in enumerate((10, 10, 10, 40, 5)):  # 4 bytes each
        writer.add(f"t{index}", torch.zeros(length))
    writer.finish()
    shards = [set(load_file(path)) for path in sorted(tmp_path.glob("*.safetensors"))]
    assert shards == [{"t0", "t1"}, {"t2"}, {"t3"}, {"t4"}]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 4 * 75
    assert index["weight_map"]["t3"] == "model-00003-of-00004.safetensors"


def test_one_shard_needs_no_index(tmp_path):
    writer = ShardWriter(tmp_path, max_bytes=100)
    writer.add("t", torch.zeros(2, 3).T)
    writer.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_folder_appears_when_it_is_whole(tmp_path):
    with whole_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("x")
        assert not (tmp_path / "out").exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["file"]


def test_a_folder_that_failed_never_appears(tmp_path):
    def fail() -> None:
        with whole_folder(tmp_path / "out") as folder:
            (folder / "file").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_two_at_once_are_kept_apart(tmp_path):
    with whole_folder(tmp_path / "out") as folder:
        (folder / "file").write_text("x")
        with (
            pytest.raises(ConversionError, match=f"{tmp_path / 'out'}: another process"),
            whole_folder(tmp_path / "out"),
        ):
            pass
    assert (tmp_path / "out" / "file").read_text() == "x"


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    with (
        pytest.raises(ConversionError, match=r"out: cannot be written .*No space left"),
        whole_folder(tmp_path / "out"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())
