"""What is seen of a forward pass while it goes on, until its choices are counted."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

__all__ = ["SECOND_SET", "ForwardPass", "together"]

SECOND_SET = "moe_mm_token_type_ids"
"""What Ernie-4.5-VL is told of its tokens: not 0 for those of the experts for pictures."""


@dataclass
class ForwardPass:
    """Tokens of one forward pass, and per layer so far what each set of experts was told.

    Args:
        ids: [batch, S].
        mask: [batch, all tokens so far], 0 for padding; None: there is none.
        continues: whether the tokens come after others; then there is one per row.
        second: [batch, all tokens so far], not 0 for tokens of a layer's second set of experts; None: there are none.
        choices: by layer, [T, K] of each set of experts.
    """

    ids: torch.Tensor
    mask: torch.Tensor | None
    continues: bool
    second: torch.Tensor | None
    choices: dict[int, list[torch.Tensor]] = field(default_factory=lambda: defaultdict(list))

    def valid(self) -> torch.Tensor:
        """[batch, S] bool: no padding."""
        if self.mask is None:
            return torch.ones_like(self.ids, dtype=torch.bool)
        return self.mask[:, -self.ids.shape[1] :].bool()

    def of_layer(self, layer: int) -> torch.Tensor:
        """[batch, S, K] of a layer; two sets are told of their own tokens only."""
        sets = self.choices[layer]
        index = sets[0]
        if len(sets) > 1:
            assert self.second is not None  # by which the layer has told the tokens apart
            second = self.second[:, -self.ids.shape[1] :].reshape(-1).bool().to(index.device)
            index = index.new_empty(len(second), index.shape[-1])
            index[~second], index[second] = sets
        return index.view(*self.ids.shape, -1)


def together(passes: Sequence[ForwardPass], layers: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Passes of one batch after one another: ids [batch, S], validity [batch, S], choices [L, batch, S, K]."""
    ids, valid = (torch.cat(of, dim=1).cpu().numpy() for of in ([p.ids for p in passes], [p.valid() for p in passes]))
    of_layers = [torch.cat([one.of_layer(layer) for one in passes], dim=1) for layer in layers]
    return ids, valid, torch.stack([index.to(of_layers[0].device) for index in of_layers]).cpu().numpy()
