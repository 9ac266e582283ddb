"""Muon is torch's on matrices, works on stacks of them, and leaves the rest to AdamW."""

import pytest
import torch

from moellava.training.optimizer import MuonAdamW, muon_groups, orthogonalized
from tests.tiny_models import tiny_model


def steps(optimizer: torch.optim.Optimizer, parameter: torch.nn.Parameter, count: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return parameter.detach()


def parameter(*shape: int) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("shape", [(24, 8), (8, 24), (16, 16)])
def test_a_matrix_is_updated_as_by_torch_s_muon(shape):
    ours, theirs = parameter(*shape), parameter(*shape)
    group = {"params": [ours], "muon": True, "lr": 0.02, "weight_decay": 0.1}
    reference = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1)
    # torch's steps in bfloat16
    torch.testing.assert_close(steps(MuonAdamW([group], lr=0.02), ours), steps(reference, theirs), atol=2e-3, rtol=0)


def test_experts_and_stacked_projections_are_matrices_of_their_own():
    stack = torch.randn(3, 10, 6, generator=torch.Generator().manual_seed(0))  # 3 experts, two 5 x 6 matrices each
    group = {
        "params": [torch.nn.Parameter(torch.zeros(3, 10, 6))],
        "muon": True,
        "stacked": 2,
        "lr": 1.0,
        "weight_decay": 0,
    }
    optimizer = MuonAdamW([group], lr=1.0)
    group["params"][0].grad = stack
    optimizer.step()
    expected = torch.cat([orthogonalized(half[None]) for expert in stack for half in expert.split(5)]).view(3, 10, 6)
    torch.testing.assert_close(-group["params"][0].detach(), expected)


def test_singular_values_end_near_one():
    matrices = torch.randn(4, 30, 12, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalized(matrices))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_the_rest_is_updated_as_by_adamw():
    ours, theirs = parameter(7), parameter(7)
    reference = torch.optim.AdamW([theirs], lr=1e-3, weight_decay=0.0)
    group = {"params": [ours], "lr": 1e-3, "weight_decay": 0.0}
    assert torch.equal(steps(MuonAdamW([group], lr=1e-3), ours), steps(reference, theirs))


def test_every_trained_parameter_is_in_one_group():
    model = tiny_model()
    model.model.vision_tower.requires_grad_(False)
    groups = muon_groups(model.named_parameters(), muon_lr=0.02, adam_lr=1e-3, weight_decay=0.1)
    grouped = [id(value) for group in groups for value in group["params"]]
    assert sorted(grouped) == sorted(id(value) for value in model.parameters() if value.requires_grad)


def test_embeddings_head_router_and_norms_are_adamw_s():
    model = tiny_model()
    names = {id(value): name for name, value in model.named_parameters()}
    groups = muon_groups(model.named_parameters(), muon_lr=0.02, adam_lr=1e-3, weight_decay=0.1)
    muon = {names[id(value)] for group in groups if group.get("muon") for value in group["params"]}
    assert "model.language_model.layers.0.mlp.experts.gate_up_proj" in muon
    assert "model.language_model.layers.1.self_attn.q_proj.weight" in muon
    assert not any(part in name for name in muon for part in ("embed", "lm_head", "router", "norm", "bias"))


def test_its_state_survives_saving(tmp_path):
    def build(value):
        groups = [{"params": [value], "muon": True, "lr": 0.02, "weight_decay": 0.0}]
        return MuonAdamW(groups, lr=0.02)

    one = parameter(6, 6)
    optimizer = build(one)
    steps(optimizer, one)
    other = torch.nn.Parameter(one.detach().clone())
    resumed = build(other)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(steps(optimizer, one), steps(resumed, other))
