"""Who wrote what into a key-value cache, and who may see it.

A row of the cache holds one prefix and several branches that hang below it. Its slots are, in the order in which they were
written: the prefix (padded on the left), then, pass by pass, tokens of the branches. A branch sees the prefix and itself, and
what goes on from a branch that branch, too.
"""

from typing import Any

import torch

__all__ = ["PADDING", "PREFIX", "Slots"]

PREFIX, PADDING = -1, -2
"""Owners of slots that every branch of the row sees, and of slots that nobody sees; branches are numbered from 0."""


class Slots:
    """The owner of every slot: an int64 tensor [rows, slots] on the model's device.

    Args:
        prefix: [rows, slots] bool: which slots of the prefix pass hold a token.
    """

    def __init__(self, prefix: torch.Tensor):
        self.owner = torch.where(prefix, PREFIX, PADDING)

    def write(self, branches: torch.Tensor, dtype: torch.dtype, below: torch.Tensor | None = None) -> torch.Tensor:
        """Note that a pass writes tokens of branches; its attention mask comes back.

        Args:
            branches: [rows, tokens] int64: the branch of each token, or `PADDING`. Tokens of a branch are in order.
            dtype: of the mask, which is the model's.
            below: [rows, tokens] int64: the other branch that each token sees, or `PADDING`.

        Returns:
            [rows, 1, tokens, slots] additive mask: 0 where a token may look, the dtype's minimum elsewhere. Padding looks
            at the prefix, because it must look somewhere.
        """
        before = self.owner.shape[1]
        self.owner = torch.cat([self.owner, branches], dim=1)
        places = torch.arange(self.owner.shape[1], device=branches.device)
        earlier = places[None, :] <= places[before:, None]  # [tokens, slots]
        own = (self.owner[:, None, :] == branches[:, :, None]) & (branches[:, :, None] >= 0) & earlier
        seen = own | (self.owner[:, None, :] == PREFIX)
        if below is not None:
            seen |= (self.owner[:, None, :] == below[:, :, None]) & (below[:, :, None] >= 0)
        mask = torch.zeros(seen.shape, dtype=dtype, device=branches.device)
        return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]

    def keep(self, rows: Any) -> None:
        """Drop all rows but these."""
        self.owner = self.owner[rows]
