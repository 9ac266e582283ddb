"""A model that is too large is refused before it is read, with the smallest change that helps."""

from pathlib import Path

import pytest

from moe_eval.engine.memory import Weights, check_fits, weights_of
from moe_eval.engine.models import ModelSource
from moe_eval.engine.parameters import laid_out
from moe_eval.errors import UserError
from tests.tiny_llava import save_tiny_llava
from tests.tiny_sparse import tiny_sparse_config

GB = 10**9
DENSE = Weights(total=10 * GB, quantised=8 * GB, sparse=False)
SPARSE = Weights(total=10 * GB, quantised=8 * GB, sparse=True)


def test_what_fits_passes():
    check_fits("m", DENSE, 4, None, "cpu", 40 * GB)
    check_fits("m", DENSE, 2, "4bit", "cpu", 8 * GB)


@pytest.mark.parametrize(
    ("weights", "itemsize", "quantize", "there", "spread", "way_out"),
    [
        (DENSE, 4, None, 20, 0, r"--dtype bfloat16 makes it 20\.00 GB"),
        (DENSE, 4, None, 12, 0, r"--dtype bfloat16 --quantize 8bit makes it 12\.00 GB"),
        (DENSE, 2, None, 12, 0, r"; --quantize 8bit makes it 12\.00 GB"),
        (DENSE, 2, None, 8, 0, r"; --quantize 4bit makes it 8\.00 GB"),
        (DENSE, 2, "8bit", 8, 0, r"; --quantize 4bit makes it 8\.00 GB"),
        (DENSE, 2, None, 12, 30, r"--device-map auto spreads it over 30\.00 GB"),
        (SPARSE, 2, None, 8, 0, r"the least that it can take is 12\.00 GB, which needs another machine"),
        (DENSE, 2, "4bit", 7, 0, r"the least that it can take is 8\.00 GB"),
    ],
)
def test_the_smallest_change_that_helps_is_named(weights, itemsize, quantize, there, spread, way_out):
    with pytest.raises(
        UserError, match=rf"model m: its weights take .* GB, and cuda:0 has {there}\.00 GB free.*{way_out}"
    ):
        check_fits("m", weights, itemsize, quantize, "cuda:0", there * GB, spread * GB)


def test_experts_are_among_what_can_be_quantised():
    weights = weights_of(laid_out(tiny_sparse_config("qwen3_vl_moe")))
    assert weights.sparse
    assert 0 < weights.quantised < weights.total
    assert weights.size(4, "8bit") == 4 * (weights.total - weights.quantised) + weights.quantised


def test_nothing_is_read_of_what_does_not_fit(tmp_path: Path, monkeypatch):
    folder = save_tiny_llava(tmp_path)
    monkeypatch.setattr("moe_eval.machine.resources.available_memory", lambda: 1000)
    monkeypatch.setattr("transformers.AutoModelForImageTextToText.from_pretrained", None)
    with pytest.raises(UserError, match=r"its weights take 0\.\d\d GB, and cpu has 0\.00 GB free"):
        ModelSource(str(folder), device="cpu").load()
