"""A training step gives the losses and gradients of the original: every case with recorded steps, also --oracle DIR."""

import json
from pathlib import Path

import pytest
import torch

from moellava import MoELlavaForConditionalGeneration, MoELlavaProcessor
from moellava.convert import convert
from tests.moellava.test_oracle import UPSTREAM_IMAGE_ID, Oracle, record_routing
from tests.upstream_names import upstream_gradients, upstream_names

ITEMS = {"images": (0, 1), "mixed": (0, 2)}  # of conversations.json
RELATIVE = 1e-5


class TrainingOracle(Oracle):
    """One case with recorded training steps beside its converted model."""

    def batch(self, kind: str) -> dict[str, torch.Tensor]:
        """Right-padded ids, mask, labels and padded pictures, as the original's last stage makes them."""
        conversations = json.loads((self.folder / "conversations.json").read_text())
        last_stage = max(self.record["stages"])
        recorded = self.record["stages"][last_stage]["before"]["items"]
        rows = [self._expand(recorded[index]) for index in ITEMS[kind]]
        pad = torch.nn.utils.rnn.pad_sequence
        pictures = [self.image(name) for index in ITEMS[kind] if (name := conversations[index].get("image"))]
        return {
            "input_ids": pad([ids for ids, _ in rows], batch_first=True, padding_value=0),
            "labels": pad([labels for _, labels in rows], batch_first=True, padding_value=-100),
            "attention_mask": pad([torch.ones_like(ids) for ids, _ in rows], batch_first=True, padding_value=0),
            "pixel_values": self.processor.image_processor(pictures, return_tensors="pt")["pixel_values"],
        }

    def _expand(self, item: dict) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and labels with one image token, not learned, for every row of picture features."""
        config, ids, labels = self.model.config, [], []
        for token, label in zip(item["input_ids"], item["labels"], strict=True):
            is_image = token == UPSTREAM_IMAGE_ID
            ids += [config.image_token_id] * config.image_seq_length if is_image else [token]
            labels += [-100] * config.image_seq_length if is_image else [label]
        return torch.tensor(ids), torch.tensor(labels)

    def step(self, variant: str, patch: pytest.MonkeyPatch):
        """One forward and backward pass in training mode with the original's capacity and the recorded noise."""
        record, moe = self.record["training"][variant], self.model.config.moe
        patch.setattr(moe, "count_padding", True)
        patch.setattr(moe, "drop_tokens", True)
        patch.setattr(moe, "capacity_factor", record.get("capacity_factor", moe.capacity_factor))
        if record.get("gumbel"):
            for index, block in self.model.model.sparse_blocks().items():
                noise = self.tensors[f"train.{variant}.layer{index}.gumbel"]
                patch.setattr(block.router, "second_choice_noise", lambda _, noise=noise: noise)
        self.model.train().zero_grad()
        output = self.model(**self.batch(record["batch"]))
        output.loss.backward()
        return output


@pytest.fixture(scope="module")
def oracle(oracle_case: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingOracle:
    if "training" not in json.loads((oracle_case / "io.json").read_text()):
        pytest.skip("no training step was recorded for this case")
    folder = convert(oracle_case / "checkpoint", tmp_path_factory.mktemp("training") / oracle_case.name)
    model = MoELlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return TrainingOracle(oracle_case, model, MoELlavaProcessor.from_pretrained(folder))


def test_losses_of_a_training_step_are_equal(oracle: TrainingOracle, monkeypatch: pytest.MonkeyPatch):
    for variant, record in oracle.record["training"].items():
        with monkeypatch.context() as patch:
            output = oracle.step(variant, patch)
        assert output.loss.item() == pytest.approx(record["loss"], rel=RELATIVE)
        if "aux_loss" in record:
            aux_loss = oracle.model.config.moe.router_aux_loss_coef * output.aux_loss.item()
            assert aux_loss == pytest.approx(record["aux_loss"], rel=RELATIVE)
            assert output.loss.item() - aux_loss == pytest.approx(record["cross_entropy"], rel=RELATIVE)


def test_gradients_of_a_training_step_are_equal(oracle: TrainingOracle, monkeypatch: pytest.MonkeyPatch):
    for variant, record in oracle.record["training"].items():
        with monkeypatch.context() as patch:
            oracle.step(variant, patch)
        known = upstream_names(oracle.folder / "checkpoint", oracle.model)
        for name, gradient in upstream_gradients(known, oracle.model, list(record["gradient_norms"])):
            # a gradient that is zero but for rounding (the bias of keys) has no relative size
            assert gradient.norm().item() == pytest.approx(record["gradient_norms"][name], rel=RELATIVE, abs=1e-7), name
            complete = oracle.tensors.get(f"train.{variant}.grad.{name}")
            if complete is not None:
                torch.testing.assert_close(gradient, complete, rtol=RELATIVE, atol=1e-7)


def test_routing_of_a_training_step_is_equal(oracle: TrainingOracle, monkeypatch: pytest.MonkeyPatch):
    for variant, record in oracle.record["training"].items():
        with monkeypatch.context() as patch, record_routing(oracle.model) as routing:
            oracle.step(variant, patch)
        assert routing.keys() == {int(index) for index in record.get("moe", {})}
        for index, (router_logits, weights, experts) in routing.items():
            combine = torch.zeros_like(router_logits).scatter(-1, experts, weights)
            expected = oracle.tensors[f"train.{variant}.layer{index}.combine_weights"]
            assert torch.equal(combine > 0, expected > 0)
            torch.testing.assert_close(combine, expected, rtol=0, atol=2e-5)
            counts = record["moe"][str(index)]
            assert (weights == 0).sum().item() == counts["dropped_assignments"]
            assert (weights.sum(-1) == 0).sum().item() == counts["tokens_without_any_expert"]
