"""Parallel plans name what is in a model, and two ranks together compute what one computes alone."""

import os
import socket
from itertools import product
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from moellava import MoEConfig, MoELlavaForConditionalGeneration, sparsify
from tests.tiny_models import BACKBONES, tiny_inputs, tiny_model

# What is whole on every rank: norms, routers, the tower, the projector, and what transformers cuts by another rule.
EXPERT_RULES = {
    "phi": {
        "up_proj": "colwise",
        "up_proj_bias": "rowwise",
        "down_proj": "rowwise",
        "": "moe_tp_experts_with_bias",
    },
    "others": {"gate_up_proj": "packed_colwise", "down_proj": "rowwise", "": "moe_tp_experts"},
}

every_model = pytest.mark.parametrize(
    ("backbone", "layers"), [(backbone, layers) for backbone in BACKBONES for layers in ((0, 1, 2, 3), (0,))]
)


def wildcard_names(model: torch.nn.Module) -> set[str]:
    names = [name for name, _ in model.named_modules()] + [name for name, _ in model.named_parameters()]
    return {".".join("*" if part.isdigit() else part for part in name.split(".")) for name in names}


@every_model
def test_every_rule_names_something(backbone, layers):
    model = tiny_model(backbone, layers=layers)
    for part in (model, model.model, model.model.language_model):
        assert part.tp_plan.keys() | part.ep_plan.keys() <= wildcard_names(part)


@every_model
def test_experts_have_their_rules(backbone, layers):
    model = tiny_model(backbone, layers=layers)
    experts = "model.language_model.layers.*.mlp.experts"
    expected = EXPERT_RULES.get(backbone, EXPERT_RULES["others"])
    found = {rule: style for rule, style in model.tp_plan.items() if rule.startswith(experts)}
    assert found == {f"{experts}.{name}".rstrip("."): style for name, style in expected.items()}
    parameters = dict(model.model.sparse_blocks()[0].experts.named_parameters())
    whole = {f"{experts}.{name}": "grouped_gemm" for name in parameters} | {experts: "ep_dispatch_experts"}
    assert model.ep_plan == whole


def test_dense_layers_keep_their_rules_as_long_as_there_are_any():
    rule = "model.language_model.layers.*.mlp.gate_proj"
    assert tiny_model(layers=(0,)).tp_plan[rule] == "colwise"
    assert rule not in tiny_model(layers=(0, 1, 2, 3)).tp_plan


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_sparsified_model_has_the_plans_of_a_sparse_one(backbone):
    model = sparsify(tiny_model(backbone, layers=()), MoEConfig(layers=[0, 1, 2, 3]))
    expected = tiny_model(backbone, layers=(0, 1, 2, 3))
    assert (model.tp_plan, model.ep_plan) == (expected.tp_plan, expected.ep_plan)


def test_a_dense_model_has_llavas_plans():
    assert not any("experts" in rule for rule in tiny_model(layers=()).tp_plan)


def differences(model: torch.nn.Module, reference: torch.nn.Module) -> dict[str, float]:
    """Largest differences of logits and of gradients, the latter by parameter and without what is equal to 1e-4."""
    inputs = dict(tiny_inputs("clip", "What is in <image>?", "No.", padding=True))
    with torch.no_grad():
        found = {"logits": (model(**inputs).logits - reference(**inputs).logits).abs().max().item()}
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] == reference.config.image_token_id, -100)
    for one in (model, reference):
        one.train()(**inputs, labels=labels).loss.backward()
    expected = {name: parameter.grad for name, parameter in reference.named_parameters()}
    for name, parameter in model.named_parameters():
        if (gradient := parameter.grad) is not None:
            gradient = gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient
            found[name] = (gradient - expected[name]).abs().max().item()
    return {name: value for name, value in found.items() if value > 1e-4}


def expert_share(model: torch.nn.Module, reference: torch.nn.Module) -> float:
    """Share of the experts' weights (without biases) that this rank holds."""

    def count(parameters) -> int:
        tensors = [p.to_local() if hasattr(p, "to_local") else p for name, p in parameters if ".experts." in name]
        return sum(tensor.numel() for tensor in tensors if tensor.dim() == 3)

    return count(model.named_parameters()) / count(reference.named_parameters())


def run_rank(rank: int, folders: list[str], port: int) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    from transformers.distributed import DistributedConfig

    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    for options, folder in product(({}, {"ep_size": 2}), folders):  # slices of experts, and whole ones
        distributed = DistributedConfig(tp_size=2, **options)
        model = MoELlavaForConditionalGeneration.from_pretrained(folder, distributed_config=distributed).eval()
        reference = MoELlavaForConditionalGeneration.from_pretrained(folder).eval()
        assert expert_share(model, reference) == 0.5, (folder, options)
        assert not (wrong := differences(model, reference)), f"{folder}, {options}: {wrong}"
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_compute_what_one_computes(tmp_path: Path):
    folders = []
    for backbone in BACKBONES:
        for layers in ((0, 1, 2, 3), (0,)):
            folders.append(str(tmp_path / f"{backbone}-{len(layers)}"))
            tiny_model(backbone, layers=layers).save_pretrained(folders[-1])
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    mp.spawn(run_rank, (folders, port), nprocs=2)
