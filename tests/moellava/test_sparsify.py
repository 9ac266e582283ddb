"""Stage 3 starts as the dense model: experts are copies, nothing changes until it is trained."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from moellava import MoEConfig, MoELlavaForConditionalGeneration, MoELlavaProcessor, sparsify
from moellava.convert import convert
from tests.moellava.test_oracle import Oracle
from tests.tiny_models import BACKBONES, tiny_inputs, tiny_model

DATA = Path(__file__).parents[1] / "data" / "oracle"
PROMPTS = ("What is in <image>?", "Nothing to see.")

every_backbone = pytest.mark.parametrize("backbone", BACKBONES)


def logits(model: MoELlavaForConditionalGeneration) -> torch.Tensor:
    with torch.inference_mode():
        return model(**tiny_inputs("clip", *PROMPTS, padding=True)).logits


@every_backbone
@pytest.mark.parametrize("top_k", [2, 3])
def test_the_sparse_model_equals_the_dense_one(backbone, top_k):
    model = tiny_model(backbone, layers=())
    expected = logits(model)
    assert sparsify(model, MoEConfig(layers=[0, 2, 3], num_experts=[4, 3, 8], top_k=top_k)) is model
    torch.testing.assert_close(logits(model), expected, rtol=0, atol=1e-5)


@every_backbone
def test_every_expert_is_the_dense_layer_bit_for_bit(backbone):
    model = tiny_model(backbone, layers=())
    layers = model.model.language_model.layers
    dense = {index: dict(layers[index].mlp.named_parameters()) for index in (1, 2)}
    sparsify(model, MoEConfig(layers=[1, 2]))
    for index, parts in dense.items():
        experts = dict(layers[index].mlp.experts.named_parameters())
        for kind, ending in (("weight", ""), ("bias", "_bias")):
            up = [parts[name] for name in (f"gate_proj.{kind}", f"up_proj.{kind}", f"fc1.{kind}") if name in parts]
            down = [parts[name] for name in (f"down_proj.{kind}", f"fc2.{kind}") if name in parts]
            for name, expected in (("gate_up_proj" if len(up) == 2 else "up_proj", up), ("down_proj", down)):
                stacked = experts.pop(name + ending, None)
                assert (stacked is None) == (not expected)
                if expected:
                    assert all(torch.equal(expert, torch.cat(expected)) for expert in stacked)
        assert not experts


def test_only_the_named_layers_become_sparse():
    model = tiny_model(layers=())
    sparsify(model, MoEConfig(layers=[1]))
    assert list(model.model.sparse_blocks()) == [1]
    assert model.config.moe.layers == [1]


def test_routers_are_seeded_by_the_generator():
    routers = []
    for seed in (1, 1, 2):
        model = sparsify(tiny_model(layers=()), MoEConfig(layers=[0]), torch.Generator().manual_seed(seed))
        routers.append(model.model.sparse_blocks()[0].router.weight)
    assert torch.equal(routers[0], routers[1])
    assert not torch.equal(routers[0], routers[2])
    assert routers[0].abs().max() <= 32**-0.5


def test_experts_keep_the_dtype_and_routers_are_float32():
    model = sparsify(tiny_model("phi", layers=()).to(torch.bfloat16), MoEConfig(layers=[0]))
    block = model.model.sparse_blocks()[0]
    assert {parameter.dtype for parameter in block.experts.parameters()} == {torch.bfloat16}
    assert block.router.weight.dtype == torch.float32


def test_a_sparsified_model_is_saved_and_loaded(tmp_path):
    model = sparsify(tiny_model("phi", layers=()), MoEConfig(layers=[0, 2]))
    model.save_pretrained(tmp_path)
    loaded = MoELlavaForConditionalGeneration.from_pretrained(tmp_path)
    assert loaded.config.moe.experts_per_layer() == {0: 4, 2: 4}
    assert torch.equal(logits(loaded), logits(model))


@pytest.mark.parametrize("implementation", ["eager", "batched_mm", "grouped_mm"])
def test_experts_implementations_can_be_chosen_afterwards(implementation):
    model = tiny_model(layers=())
    expected = logits(model)
    sparsify(model, MoEConfig(layers=[0, 2])).set_experts_implementation(implementation)
    torch.testing.assert_close(logits(model), expected, rtol=0, atol=1e-5)


def test_a_sparsified_model_learns():
    model = sparsify(tiny_model(layers=()), MoEConfig(layers=[0, 2])).train()
    inputs = dict(tiny_inputs("clip", PROMPTS[1]))
    model(**inputs, labels=inputs["input_ids"]).loss.backward()
    for block in model.model.sparse_blocks().values():
        assert all(parameter.grad.abs().max() > 0 for parameter in block.parameters())


def test_a_sparse_model_is_refused():
    with pytest.raises(ValueError, match=r"sparse already: moe\.layers is \[0, 2\]"):
        sparsify(tiny_model(), MoEConfig(layers=[1]))


def test_a_layer_that_is_not_there_is_refused_and_changes_nothing():
    model = tiny_model(layers=())
    with pytest.raises(ValueError, match=r"names \[4\]"):
        sparsify(model, MoEConfig(layers=[0, 4]))
    assert model.config.moe.layers == []
    assert model.model.sparse_blocks() == {}


@pytest.fixture(scope="module")
def stage_2(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """The dense model from which the original's stage 3 started."""
    folder = convert(DATA / "llava-phi" / "checkpoint", tmp_path_factory.mktemp("stage2") / "llava-phi")
    model = MoELlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    return Oracle(DATA / "moe-llava-phi", model, MoELlavaProcessor.from_pretrained(folder))


@torch.inference_mode()
def test_stage_3_starts_where_the_original_did(stage_2: Oracle):
    recorded = load_file(stage_2.folder / "stage3_init.safetensors")
    inputs = stage_2.inputs("text_only")
    dense = stage_2.model(**inputs).logits[0]
    sparsify(stage_2.model, MoEConfig(layers=[0, 2]))
    for index, block in stage_2.model.model.sparse_blocks().items():
        router = recorded[f"model.layers.{index}.mlp.deepspeed_moe.gate.wg.weight"]
        assert router.abs().max() <= router.shape[-1] ** -0.5
        block.router.weight.copy_(router)
    sparse = stage_2.model(**inputs).logits[0]
    torch.testing.assert_close(sparse, dense, rtol=0, atol=2e-6)
    torch.testing.assert_close(sparse, recorded["text_only.logits"], rtol=0, atol=2e-5)
