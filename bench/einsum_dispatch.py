"""Experts as DeepSpeed 0.9.5 runs them, to measure against: one-hot dispatch and combine by einsum, with a capacity.

Source: DeepSpeed `moe/sharded_moe.py` `top2gating`, `MOELayer.forward`. Expert parallelism is left out (one device), and
the experts run as one batched product, which is kinder than DeepSpeed's loop over them.
Shape suffixes: T tokens, H model width, E experts, K experts per token, C places per expert.
"""

import math

import torch
import torch.nn.functional as F
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

__all__ = ["CAPACITY_FACTOR", "NAME", "einsum_experts_forward"]

NAME = "einsum_dispatch"
CAPACITY_FACTOR = 1.5


def einsum_experts_forward(
    self: torch.nn.Module,
    hidden_states: torch.Tensor,  # [T, H]
    top_k_index: torch.Tensor,  # [T, K]
    top_k_weights: torch.Tensor,  # [T, K]
) -> torch.Tensor:
    """Weighted sum of the chosen experts' outputs [T, H]; choices beyond an expert's places are dropped."""
    (tokens, top_k), experts = top_k_index.shape, self.num_experts
    capacity = math.ceil(tokens / experts * CAPACITY_FACTOR * top_k)
    chosen = F.one_hot(top_k_index.T.reshape(-1), experts)  # [K*T, E], first choices first
    place = ((chosen.cumsum(dim=0) - 1) * chosen).sum(dim=-1)  # [K*T]
    kept = place < capacity
    weights = top_k_weights.T.reshape(-1) * kept
    places = F.one_hot(place.where(kept, 0), capacity).to(weights.dtype)  # [K*T, C]
    combine = torch.einsum("ne,nc->nec", weights[:, None] * chosen, places)
    combine = combine.view(top_k, tokens, experts, capacity).sum(dim=0)  # [T, E, C]
    dispatched = torch.einsum("tec,th->ech", combine.bool().to(hidden_states.dtype), hidden_states)
    up = _linear(self, "gate_up_proj" if self.has_gate else "up_proj", dispatched)
    activated = self._apply_gate(up) if self.has_gate else self.act_fn(up)
    return torch.einsum("tec,ech->th", combine.to(hidden_states.dtype), _linear(self, "down_proj", activated))


def _linear(self: torch.nn.Module, name: str, inputs: torch.Tensor) -> torch.Tensor:
    outputs = torch.bmm(inputs, getattr(self, name).transpose(1, 2))  # [E, C, rows]
    return outputs + getattr(self, f"{name}_bias")[:, None] if self.has_bias else outputs


ALL_EXPERTS_FUNCTIONS.register(NAME, einsum_experts_forward)
