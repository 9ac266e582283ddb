"""Muon for the hidden matrices, AdamW for everything else, as one optimizer with one state and one schedule."""

import math
from collections.abc import Iterable

import torch
from torch import nn

__all__ = ["MuonAdamW", "muon_groups", "orthogonalized"]

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5

# AdamW's: no hidden matrices, or (router, patch embedding) too small and too particular.
NOT_MUON = ("embed_tokens", "lm_head", "router", "embedding", "bias", "norm", "probe")


class MuonAdamW(torch.optim.AdamW):
    """AdamW, but groups that say `muon: True` are updated with Muon.

    torch.optim.Muon takes 2-D parameters only. Here a parameter may be a stack of matrices (experts [E, out, in]; gate
    and up projection one above the other), each orthogonalised by itself: a group's `stacked` says how many lie in one
    matrix of the parameter. On 2-D parameters the updates are torch's.

    Source: Keller Jordan, "Muon: An optimizer for hidden layers in neural networks"; `torch.optim.Muon`.
    """

    def __init__(self, groups: list[dict], lr: float, betas: tuple[float, float] = (0.9, 0.999)):
        filled = [{"muon": False, "stacked": 1, "momentum": 0.95, **group} for group in groups]
        super().__init__(filled, lr=lr, betas=betas, eps=1e-8)

    @torch.no_grad()
    def step(self, closure=None):
        groups = self.param_groups
        try:
            self.param_groups = [group for group in groups if not group["muon"]]
            loss = super().step(closure)
        finally:
            self.param_groups = groups
        for group in groups:
            if group["muon"]:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._muon_update(parameter, parameter.grad, group)
        return loss

    def _muon_update(self, parameter: nn.Parameter, gradient: torch.Tensor, group: dict) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)  # AdamW looks for it when a state is loaded
            state["momentum_buffer"] = torch.zeros_like(gradient)
        state["step"] += 1
        momentum, buffer = group["momentum"], state["momentum_buffer"]
        buffer.lerp_(gradient, 1 - momentum)
        update = gradient.lerp(buffer, momentum)  # Nesterov
        rows, columns = parameter.shape[-2:]
        rows //= group["stacked"]
        matrices = orthogonalized(update.reshape(-1, rows, columns))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        scale = math.sqrt(max(1, rows / columns))
        parameter.add_(matrices.reshape(parameter.shape).to(parameter.dtype), alpha=-group["lr"] * scale)


def orthogonalized(matrices: torch.Tensor) -> torch.Tensor:
    """The nearly orthogonal matrices with the same row and column spaces, [N, rows, columns] float32 or bfloat16.

    Five quintic Newton-Schulz steps: singular values end between about 0.7 and 1.2, which is as good as 1 for training.
    bfloat16 on a GPU as in torch.optim.Muon; float32 on a CPU, where it is faster.
    """
    a, b, c = COEFFICIENTS
    x = matrices.bfloat16() if matrices.is_cuda else matrices.float()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def muon_groups(
    named_parameters: Iterable[tuple[str, nn.Parameter]], muon_lr: float, adam_lr: float, weight_decay: float
) -> list[dict]:
    """Parameter groups of `MuonAdamW`, of the parameters that are trained."""
    stacks: dict[int, list[nn.Parameter]] = {1: [], 2: []}
    decayed, others = [], []
    for name, parameter in named_parameters:
        if not parameter.requires_grad:
            continue
        if parameter.ndim in (2, 3) and not any(part in name for part in NOT_MUON):
            stacks[2 if name.endswith("gate_up_proj") else 1].append(parameter)
        elif parameter.ndim >= 2 and not name.endswith("bias"):
            decayed.append(parameter)
        else:
            others.append(parameter)
    groups = [
        {"params": parameters, "muon": True, "stacked": stacked, "lr": muon_lr, "weight_decay": weight_decay}
        for stacked, parameters in stacks.items()
    ]
    groups.append({"params": decayed, "lr": adam_lr, "weight_decay": weight_decay})
    groups.append({"params": others, "lr": adam_lr, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]
