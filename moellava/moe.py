"""The sparse feed-forward layer of MoE-LLaVA: router, gating, experts, and the balancing loss.

Shape suffixes: T tokens (of all sequences of a batch, padding included), H model width, F width of one expert,
E experts, K experts per token (top_k).
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn
from transformers.integrations import use_experts_implementation
from transformers.utils.generic import maybe_autocast

from moellava.configuration import MoELlavaConfig

__all__ = ["Experts", "SparseMoeBlock", "TopKRouter", "load_balancing_loss", "top_k_gating"]


# Our stacked tensor -> the linear layers of a dense feed-forward layer whose rows it holds, one below the other.
GATED_LAYOUT = {"gate_up_proj": ("gate_proj", "up_proj"), "down_proj": ("down_proj",)}
PLAIN_LAYOUT = {"up_proj": ("fc1",), "down_proj": ("fc2",)}


def feed_forward_layout(mlp: nn.Module) -> dict[str, tuple[str, ...]]:
    """Which of the two layouts a dense feed-forward layer has, of whatever backbone.

    Raises:
        TypeError: neither; such a layer cannot be made sparse.
    """
    for layout in (GATED_LAYOUT, PLAIN_LAYOUT):
        if all(isinstance(getattr(mlp, name, None), nn.Linear) for names in layout.values() for name in names):
            return layout
    raise TypeError(
        f"{type(mlp).__name__} has neither gate_proj, up_proj, down_proj nor fc1, fc2; it cannot be made sparse"
    )


@use_experts_implementation
class _Experts(nn.Module):
    def __init__(self, config: MoELlavaConfig, num_experts: int, mlp: nn.Module):
        super().__init__()
        self.num_experts = num_experts
        self.act_fn = getattr(mlp, "act_fn", None) or mlp.activation_fn
        for name, linears in feed_forward_layout(mlp).items():
            parts = [getattr(mlp, linear) for linear in linears]
            rows = sum(part.out_features for part in parts)
            self._register(name, (num_experts, rows, parts[0].in_features), parts[0].weight)
            if parts[0].bias is not None:
                self._register(f"{name}_bias", (num_experts, rows), parts[0].bias)

    def _register(self, name: str, shape: tuple[int, ...], like: torch.Tensor) -> None:
        self.register_parameter(name, nn.Parameter(torch.empty(shape, dtype=like.dtype, device=like.device)))

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


def expert_capacity(num_tokens: int, num_experts: int, top_k: int, factor: float, min_capacity: int = 0) -> int:
    """Places per expert: ceil(T / E * factor * K), at least `min_capacity`, in float32 as the original computes it.

    Source: DeepSpeed 0.9.5 `sharded_moe.py` `_capacity`.
    """
    per_expert = torch.tensor(factor * top_k, dtype=torch.float32) * (num_tokens / num_experts)
    return max(math.ceil(per_expert.item()), min_capacity)


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
    Places go to all first choices before any second choice, in row order; with `top_k` 1 to the rows of highest
    `drop_priority`.

    Args:
        router_logits: [T, E] float32.
        top_k: number of experts per token.
        capacity: places per expert; None drops nothing.
        second_choice_noise: [T, E] added to the logits when every choice but the first is made (Gumbel noise).
        drop_priority: [T, E] in (0, 1], DeepSpeed's random token selection; None lets the earlier row win.

    Returns:
        Weights [T, K] float32 and experts [T, K] int64, first choice first.

    Source: DeepSpeed 0.9.5 `sharded_moe.py` `top1gating`, `top2gating`; spec/checkpoints.md section 6.
    """
    probabilities = router_logits.softmax(dim=-1)
    first = probabilities.argmax(dim=-1, keepdim=True)  # [T, 1]
    if top_k == 1:
        top_k_index = first
    else:
        noisy = router_logits if second_choice_noise is None else router_logits + second_choice_noise
        others = noisy.scatter(-1, first, float("-inf")).topk(top_k - 1, dim=-1).indices  # [T, K-1]
        top_k_index = torch.cat([first, others], dim=-1)
    top_k_weights = probabilities.gather(-1, top_k_index)
    if capacity is not None:
        num_experts = router_logits.shape[-1]
        keep = (
            _keep_first_choices(top_k_index, num_experts, capacity, drop_priority)
            if top_k == 1
            else _keep_within_capacity(top_k_index, num_experts, capacity)
        )
        top_k_weights = top_k_weights * keep
    if top_k > 1:
        total = top_k_weights.sum(dim=-1, keepdim=True)
        top_k_weights = top_k_weights / total.clamp(min=torch.finfo(total.dtype).eps)
    return top_k_weights, top_k_index


def _keep_within_capacity(top_k_index: torch.Tensor, num_experts: int, capacity: int) -> torch.Tensor:
    """[T, K] bool: the choices that find a place, all first choices (in row order) before all second ones."""
    num_tokens, top_k = top_k_index.shape
    in_order = F.one_hot(top_k_index.T.reshape(-1), num_experts)  # [K*T, E], first choices of all tokens first
    place = (in_order.cumsum(dim=0) - 1).gather(-1, top_k_index.T.reshape(-1, 1))
    return (place < capacity).view(top_k, num_tokens).T


def _keep_first_choices(
    top_k_index: torch.Tensor, num_experts: int, capacity: int, drop_priority: torch.Tensor | None
) -> torch.Tensor:
    """[T, 1] bool: top-1 choices that find a place; of equal priorities the earlier row wins."""
    chosen = F.one_hot(top_k_index.squeeze(-1), num_experts)  # [T, E]
    priority = chosen.float() if drop_priority is None else chosen * drop_priority
    rows = priority.sort(dim=0, descending=True, stable=True).indices[:capacity]  # [C, E]
    return torch.zeros_like(chosen, dtype=torch.bool).scatter(0, rows, True).gather(-1, top_k_index)


def sample_gumbel(like: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """Gumbel(0, 1) noise of the shape, dtype and device of `like`."""
    tiny = torch.finfo(like.dtype).tiny
    uniform = torch.rand(like.shape, dtype=like.dtype, device=like.device, generator=generator).clamp(min=tiny)
    return -(-uniform.log()).clamp(min=tiny).log()


class TopKRouter(nn.Module):
    """Linear router without bias, computed in float32 whatever the model's dtype, and its gating.

    `generator` seeds the noise of `second_choice="gumbel"` (None: torch's global generator).
    """

    def __init__(self, config: MoELlavaConfig, num_experts: int, hidden_size: int):
        super().__init__()
        self.moe = config.moe
        self.num_experts = num_experts
        self.weight = nn.Parameter(torch.empty(num_experts, hidden_size))
        self.generator: torch.Generator | None = None

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """`router_logits` [T, E] float32, weights [T, K] float32, experts [T, K] int64, from [T, H]."""
        with maybe_autocast(device_type=hidden_states.device.type, enabled=False):
            router_logits = F.linear(hidden_states.float(), self.weight.float())
        top_k_weights, top_k_index = top_k_gating(
            router_logits,
            self.moe.top_k,
            capacity=self._capacity(len(hidden_states)) if self.moe.drop_tokens else None,
            second_choice_noise=self.second_choice_noise(router_logits),
            drop_priority=self.drop_priority(router_logits),
        )
        return router_logits, top_k_weights, top_k_index

    def second_choice_noise(self, router_logits: torch.Tensor) -> torch.Tensor | None:
        """Noise [T, E] for the second choice, or None when routing is deterministic."""
        if self.moe.second_choice == "argmax" or self.moe.top_k == 1:
            return None
        return sample_gumbel(router_logits, self.generator)

    def drop_priority(self, router_logits: torch.Tensor) -> torch.Tensor | None:
        """Who keeps its place under `top_k` 1 and `drop_tokens`: [T, E] uniform noise, or None for no noise."""
        if self.moe.second_choice == "argmax" or self.moe.top_k > 1:
            return None
        return torch.rand(router_logits.shape, device=router_logits.device, generator=self.generator)

    def _capacity(self, num_tokens: int) -> int:
        factor = self.moe.capacity_factor if self.training else self.moe.eval_capacity_factor
        return expert_capacity(num_tokens, self.num_experts, self.moe.top_k, factor, self.moe.min_capacity)


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

    1 per layer when balanced. Second choices and drops do not enter.

    Args:
        router_logits: one [T, E] float32 tensor per sparse layer.
        attention_mask: [batch, sequence]; rows where it is 0 are left out. None counts every row, as upstream does.

    Source: arXiv 2401.15947 equation 5; DeepSpeed 0.9.5 `sharded_moe.py` `top2gating` (l_aux).
    """
    rows = None if attention_mask is None else attention_mask.reshape(-1).bool()
    losses = []
    for logits in router_logits:
        probabilities = logits.softmax(dim=-1) if rows is None else logits.softmax(dim=-1)[rows]
        first_choice = F.one_hot(probabilities.argmax(dim=-1), logits.shape[-1]).float()
        losses.append(logits.shape[-1] * (probabilities.mean(dim=0) * first_choice.mean(dim=0)).sum())
    return torch.stack([loss.to(losses[0].device) for loss in losses]).sum()
