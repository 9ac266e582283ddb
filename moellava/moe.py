"""The sparse feed-forward layer of MoE-LLaVA: router, gating, experts, and the balancing loss.

Shape suffixes: T tokens (of all sequences of a batch, padding included), H model width, E experts, K experts per token.
Source of everything that must match: DeepSpeed 0.9.5 `moe/sharded_moe.py`, retold in spec/checkpoints.md section 6.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers.integrations import use_experts_implementation
from transformers.utils.generic import maybe_autocast

from moellava.configuration import MoELlavaConfig

__all__ = ["Experts", "SparseMoeBlock", "TopKRouter", "load_balancing_loss", "top_k_gating"]

# Our stacked tensor -> the linear layers of a dense feed-forward layer whose rows it holds, one below the other.
GATED_LAYOUT: dict[str, tuple[str, ...]] = {"gate_up_proj": ("gate_proj", "up_proj"), "down_proj": ("down_proj",)}
PLAIN_LAYOUT: dict[str, tuple[str, ...]] = {"up_proj": ("fc1",), "down_proj": ("fc2",)}


def feed_forward_layout(mlp: nn.Module) -> dict[str, tuple[str, ...]]:
    """Which of the two layouts a dense feed-forward layer has (TypeError: neither)."""
    for layout in (GATED_LAYOUT, PLAIN_LAYOUT):
        if all(isinstance(getattr(mlp, name, None), nn.Linear) for names in layout.values() for name in names):
            return layout
    raise TypeError(f"{type(mlp).__name__} has neither gate_proj, up_proj, down_proj nor fc1, fc2: cannot be sparse")


@use_experts_implementation
class _Experts(nn.Module):
    has_gate: bool
    has_bias: bool
    act_fn: Any
    down_proj: nn.Parameter
    _apply_gate: Callable[[torch.Tensor], torch.Tensor]

    def __init__(self, config: MoELlavaConfig, num_experts: int, mlp: nn.Module):
        super().__init__()
        layout = feed_forward_layout(mlp)
        self.num_experts = num_experts
        self.act_fn = getattr(mlp, "act_fn", None) or mlp.activation_fn
        for name, linears in layout.items():
            parts = [getattr(mlp, linear) for linear in linears]
            rows, like = sum(part.out_features for part in parts), parts[0].weight
            self.register_parameter(name, nn.Parameter(like.new_empty(num_experts, rows, parts[0].in_features)))
            if parts[0].bias is not None:
                self.register_parameter(f"{name}_bias", nn.Parameter(like.new_empty(num_experts, rows)))

    def forward(
        self, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
    ) -> torch.Tensor:
        """Weighted sum of the chosen experts' outputs: [T, H], from [T, H], [T, K] (int64) and [T, K]."""
        output = torch.zeros_like(hidden_states)
        for expert in range(self.num_experts):
            token, choice = torch.where(top_k_index == expert)
            up = self._linear("gate_up_proj" if self.has_gate else "up_proj", hidden_states[token], expert)
            activated = self._apply_gate(up) if self.has_gate else self.act_fn(up)
            weighted = self._linear("down_proj", activated, expert) * top_k_weights[token, choice, None]
            output.index_add_(0, token, weighted.to(output.dtype))
        return output

    def _linear(self, name: str, hidden_states: torch.Tensor, expert: int) -> torch.Tensor:
        bias = getattr(self, f"{name}_bias")[expert] if self.has_bias else None
        return F.linear(hidden_states, getattr(self, name)[expert], bias)


class Experts(_Experts):
    """The weights of all experts of one layer as 3-D tensors, shaped after the dense layer that they replace.

    The loop over experts is the reference; `config._experts_implementation` picks a faster one (`batched_mm`,
    `grouped_mm`) from transformers' experts interface.
    """

    def __init__(self, config: MoELlavaConfig, num_experts: int, mlp: nn.Module):
        super().__init__(config, num_experts, mlp)
        self.has_gate = hasattr(self, "gate_up_proj")  # the interface would fix both per class
        self.has_bias = hasattr(self, "down_proj_bias")
        # Here and in the router, because transformers lets the language model's class initialise what is below it.
        for name, parameter in self.named_parameters():
            std = getattr(config.get_text_config(), "initializer_range", 0.02)
            nn.init.zeros_(parameter) if name.endswith("bias") else nn.init.normal_(parameter, std=std)


def expert_capacity(num_tokens: int, num_experts: int, top_k: int, factor: float, min_capacity: int = 0) -> int:
    """Places per expert: ceil(T / E * factor * K) in float32, as the original computes it, or `min_capacity`."""
    places = torch.tensor(factor * top_k, dtype=torch.float32) * (num_tokens / num_experts)
    return max(math.ceil(places.item()), min_capacity)


def top_k_gating(
    router_logits: torch.Tensor,
    top_k: int,
    *,
    capacity: int | None = None,
    second_choice_noise: torch.Tensor | None = None,
    drop_priority: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose `top_k` experts per token and weigh them.

    The weight of a single choice is its bare softmax probability; two or more are divided by their sum. With a
    capacity, choices beyond an expert's places are dropped (weight 0) and the survivors are divided by *their* sum,
    so that a token that lost one of two choices gives the other weight 1, and one that lost both gets nothing.
    Places go to all first choices before any second choice, in row order.

    Args:
        router_logits: [T, E] float32.
        top_k: number of experts per token.
        capacity: places per expert; None drops nothing.
        second_choice_noise: [T, E] added to the logits when every choice but the first is made (Gumbel noise).
        drop_priority: [T, E] in (0, 1]; with `top_k` 1, who gets a place first (DeepSpeed's random token selection).

    Returns:
        Weights [T, K] float32 and experts [T, K] int64, first choice first.
    """
    probabilities = router_logits.softmax(dim=-1)
    top_k_index = probabilities.argmax(dim=-1, keepdim=True)  # [T, 1]
    if top_k > 1:
        noisy = router_logits if second_choice_noise is None else router_logits + second_choice_noise
        others = noisy.scatter(-1, top_k_index, float("-inf")).topk(top_k - 1, dim=-1).indices  # [T, K-1]
        top_k_index = torch.cat([top_k_index, others], dim=-1)
    top_k_weights = probabilities.gather(-1, top_k_index)
    if capacity is not None:
        top_k_weights = top_k_weights * _has_place(top_k_index, router_logits.shape[-1], capacity, drop_priority)
    if top_k > 1:
        total = top_k_weights.sum(dim=-1, keepdim=True)
        top_k_weights = top_k_weights / total.clamp(min=torch.finfo(total.dtype).eps)
    return top_k_weights, top_k_index


def _has_place(
    top_k_index: torch.Tensor, num_experts: int, capacity: int, drop_priority: torch.Tensor | None
) -> torch.Tensor:
    """[T, K] bool: the choices that find a place."""
    num_tokens, top_k = top_k_index.shape
    chosen = F.one_hot(top_k_index.T.reshape(-1), num_experts)  # [K*T, E], first choices of all tokens first
    if top_k == 1 and drop_priority is not None:
        rank = (chosen * drop_priority).argsort(dim=0, descending=True, stable=True).argsort(dim=0)
    else:
        rank = chosen.cumsum(dim=0) - 1
    return (rank.gather(-1, top_k_index.T.reshape(-1, 1)) < capacity).view(top_k, num_tokens).T


class TopKRouter(nn.Module):
    """Linear router without bias, computed in float32 whatever the model's dtype, and its gating.

    `generator` seeds the noise of `second_choice="gumbel"` (None: torch's global generator); `uniform`, where it is set,
    gives its numbers instead: [T, E] in (0, 1) for a tensor of that shape.
    """

    def __init__(self, config: MoELlavaConfig, num_experts: int, hidden_size: int):
        super().__init__()
        self.moe = config.moe
        self.num_experts = num_experts
        self.weight = nn.Parameter(torch.empty(num_experts, hidden_size))
        nn.init.uniform_(self.weight, -(hidden_size**-0.5), hidden_size**-0.5)  # torch's default, which upstream keeps
        self.generator: torch.Generator | None = None
        self.uniform: Callable[[torch.Tensor], torch.Tensor] | None = None

    @property
    def top_k(self) -> int:
        """Experts per token."""
        return self.moe.top_k

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """`router_logits` [T, E] float32, weights [T, K] float32, experts [T, K] int64, from [T, H]."""
        moe, capacity = self.moe, None
        with maybe_autocast(device_type=hidden_states.device.type, enabled=False):
            router_logits = F.linear(hidden_states.float(), self.weight.float())
        if moe.drop_tokens:
            factor = moe.capacity_factor if self.training else moe.eval_capacity_factor
            capacity = expert_capacity(len(hidden_states), self.num_experts, moe.top_k, factor, moe.min_capacity)
        top_k_weights, top_k_index = top_k_gating(
            router_logits,
            moe.top_k,
            capacity=capacity,
            second_choice_noise=self.second_choice_noise(router_logits),
            drop_priority=self.drop_priority(router_logits),
        )
        return router_logits, top_k_weights, top_k_index

    def second_choice_noise(self, router_logits: torch.Tensor) -> torch.Tensor | None:
        """Gumbel(0, 1) noise [T, E] for the second choice, or None when routing is deterministic."""
        if self.moe.second_choice == "argmax" or self.moe.top_k == 1:
            return None
        return -(-self._uniform(router_logits).log()).log()

    def drop_priority(self, router_logits: torch.Tensor) -> torch.Tensor | None:
        """Uniform noise [T, E] that decides who keeps a place under `top_k` 1, or None for the earlier row."""
        if self.moe.second_choice == "argmax" or self.moe.top_k > 1:
            return None
        return self._uniform(router_logits)

    def _uniform(self, like: torch.Tensor) -> torch.Tensor:
        if self.uniform is not None:
            return self.uniform(like)
        noise = torch.rand(like.shape, dtype=like.dtype, device=like.device, generator=self.generator)
        limits = torch.finfo(like.dtype)
        return noise.clamp(limits.tiny, 1 - limits.eps)


class SparseMoeBlock(nn.Module):
    """A mixture of experts in the place of a decoder layer's `mlp`: [..., H] to [..., H].

    Built after a dense layer, of which it takes shape, biases and activation, not the weights (see `sparsify`).
    """

    def __init__(self, config: MoELlavaConfig, num_experts: int, mlp: nn.Module):
        super().__init__()
        self.experts = Experts(config, num_experts, mlp)
        self.router = TopKRouter(config, num_experts, hidden_size=self.experts.down_proj.shape[1])

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        tokens = hidden_states.reshape(-1, hidden_states.shape[-1])  # [T, H]
        _, top_k_weights, top_k_index = self.router(tokens)
        return self.experts(tokens, top_k_index, top_k_weights.to(tokens.dtype)).view_as(hidden_states)


def load_balancing_loss(
    router_logits: Sequence[torch.Tensor], attention_mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Sum over sparse layers of E * sum_e(mean probability of e * share of tokens whose first choice is e).

    1 per layer when balanced; second choices and drops do not enter. Source: arXiv 2401.15947 equation 5.

    Args:
        router_logits: one [T, E] float32 tensor per sparse layer.
        attention_mask: [batch, sequence]; rows where it is 0 are left out. None counts every row, as upstream does.
    """
    losses = []
    for logits in router_logits:
        probabilities = logits.softmax(dim=-1)
        if attention_mask is not None:
            probabilities = probabilities[attention_mask.reshape(-1).bool()]
        first_choice = F.one_hot(probabilities.argmax(dim=-1), logits.shape[-1]).float()
        losses.append(logits.shape[-1] * (probabilities.mean(dim=0) * first_choice.mean(dim=0)).sum())
    return torch.stack([loss.to(losses[0].device) for loss in losses]).sum()
