"""What is seen of a forward pass while it goes on, until its choices are counted."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import torch

__all__ = ["SECOND_SET", "ForwardPass"]

SECOND_SET = "moe_mm_token_type_ids"
"""What Ernie-4.5-VL is told of its tokens: not 0 for those of the experts for pictures."""


@dataclass
class ForwardPass:
    """Tokens of one forward pass, [batch, S] each, and per layer so far what each set of experts was told [T, K]."""

    ids: np.ndarray
    valid: np.ndarray
    is_image: np.ndarray
    continues: bool
    second: torch.Tensor | None  # not 0: a token of a layer's second set of experts
    choices: dict[int, list[torch.Tensor]] = field(default_factory=lambda: defaultdict(list))

    def of_tokens(self, sets: list[torch.Tensor]) -> torch.Tensor:
        """[T, K] of a layer; two sets are told of their own tokens only."""
        if len(sets) == 1:
            return sets[0]
        assert self.second is not None  # what the layer itself has told the tokens apart by
        second = self.second.reshape(-1).bool().to(sets[0].device)
        index = sets[0].new_empty(len(second), sets[0].shape[-1])
        index[~second], index[second] = sets
        return index
