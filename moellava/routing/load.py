"""How evenly the experts of a model are loaded, from router logits that a training loop has at hand."""

from collections.abc import Sequence

import torch

__all__ = ["expert_load"]


def expert_load(
    router_logits: Sequence[torch.Tensor], attention_mask: torch.Tensor | None = None, top_k: int = 1
) -> torch.Tensor:
    """Share of the tokens' choices that each expert gets: [L, E] float32, every row sums to 1.

    1 / E everywhere is a perfect balance; 0 is a dead expert. Nothing is copied to the host.

    Args:
        router_logits: one [T, E] tensor per sparse layer, as the model's output has them; layers with fewer experts
            than others get zeros at the end.
        attention_mask: [batch, sequence]; rows where it is 0 are left out.
        top_k: choices that count; 1 is what the balancing loss balances.
    """
    most = max(logits.shape[-1] for logits in router_logits)
    loads = []
    for logits in router_logits:
        chosen = logits.topk(top_k, dim=-1).indices  # [T, K]
        weights = torch.ones(chosen.shape, device=logits.device)
        if attention_mask is not None:
            weights = weights * attention_mask.reshape(-1, 1).to(weights)
        counts = weights.new_zeros(most).scatter_add_(0, chosen.reshape(-1), weights.reshape(-1))
        loads.append(counts / counts.sum().clamp(min=1))
    return torch.stack([load.to(loads[0].device) for load in loads])
