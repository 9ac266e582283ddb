"""Bits that flipped in a `.bin` are found by the checksums that torch writes and does not read."""

import pytest

from moellava.convert import ConversionError, convert
from tests.upstream_checkpoints import change_config, copy_checkpoint, tower_folder

CASE = "moe-llava-phi"


def test_a_flipped_bit_is_found(tmp_path):
    checkpoint = copy_checkpoint(CASE, tmp_path)
    path = checkpoint / "pytorch_model.bin"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ConversionError, match=r"pytorch_model\.bin: damaged, the checksum of .* is wrong"):
        convert(checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_processor_that_cannot_prepare_a_picture_is_refused(tmp_path):
    checkpoint = copy_checkpoint(CASE, tmp_path)
    preprocessor = tower_folder(checkpoint) / "preprocessor_config.json"
    preprocessor.write_text(preprocessor.read_text().replace('"image_mean": [', '"image_mean": "/etc/passwd", "x": ['))
    with pytest.raises(ConversionError, match=r"preprocessor_config\.json"):
        convert(checkpoint, tmp_path / "out")


def test_python_that_comes_with_a_checkpoint_is_not_asked_about(tmp_path):
    checkpoint = copy_checkpoint(CASE, tmp_path)
    (checkpoint / "theirs.py").write_text("raise SystemExit('ran')")
    change_config(checkpoint, auto_map={"AutoConfig": "theirs.TheirConfig", "AutoTokenizer": ["theirs.T", None]})
    convert(checkpoint, tmp_path / "out")
