"""From the recorded conversations to the recorded losses, all by the training's own way: every case with recorded steps."""

from pathlib import Path

import pytest
import torch

from moellava.training.block_attention import use_block_attention
from moellava.training.collate import Collator
from moellava.training.dataset import ConversationDataset
from moellava.training.files import DataFile
from moellava.training.packing import Packing
from tests.moellava.test_oracle_training import ITEMS, RELATIVE, TrainingOracle, oracle

__all__ = ["oracle"]


def batch(oracle: TrainingOracle, kind: str, packing: Packing | None = None) -> dict:
    folder: Path = oracle.folder
    dataset = ConversationDataset(
        [DataFile(folder / "conversations.json", folder / "images")],
        oracle.processor,
        None,
        max_length=2048,
        images_first=oracle.model.config.codebase == "llava",
    )
    made = Collator(0, packing)([dataset[index] for index in ITEMS[kind]])
    assert len(made.pop("ids")) == len(ITEMS[kind])
    return made


@pytest.mark.parametrize("kind", ITEMS)
def test_batches_are_equal(oracle: TrainingOracle, kind: str):
    ours, expected = batch(oracle, kind), oracle.batch(kind)
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[key], expected[key]) for key in ours)


def test_losses_of_our_batches_are_equal(oracle: TrainingOracle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(oracle, "batch", lambda kind: batch(oracle, kind), raising=True)
    for variant, record in oracle.record["training"].items():
        with monkeypatch.context() as patch:
            loss = oracle.step(variant, patch).loss.item()
        assert loss == pytest.approx(record["loss"], rel=RELATIVE)


@pytest.mark.parametrize("kind", ITEMS)
def test_packed_batches_have_the_recorded_cross_entropy(
    oracle: TrainingOracle, kind: str, monkeypatch: pytest.MonkeyPatch
):
    """Where the original dropped nothing and drew no noise."""
    dropless = [
        record
        for record in oracle.record["training"].values()
        if record["batch"] == kind
        and not record.get("gumbel")
        and not any(layer["dropped_assignments"] for layer in record.get("moe", {}).values())
    ]
    if not dropless:
        pytest.skip("every recorded step of this batch dropped choices or drew noise")
    text = oracle.model.get_decoder().config
    monkeypatch.setattr(text, "_attn_implementation", text._attn_implementation)  # so that it comes back for others
    use_block_attention(oracle.model)
    output = oracle.model.train()(**batch(oracle, kind, Packing()))
    aux_loss = 0.0 if output.aux_loss is None else oracle.model.config.moe.router_aux_loss_coef * output.aux_loss.item()
    for record in dropless:
        assert output.loss.item() - aux_loss == pytest.approx(record.get("cross_entropy", record["loss"]), rel=RELATIVE)
