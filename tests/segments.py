"""What the tokens of a packed row may see, as one mask over the whole row: what attention in blocks is checked against."""

from collections.abc import Sequence

import torch

from moellava.training.packing import Segment

__all__ = ["sight"]


def sight(segments: Sequence[Segment]) -> torch.Tensor:
    """[tokens, tokens] bool, True where the token of the first axis may look at that of the second."""
    tokens = segments[-1].end
    mask = torch.zeros(tokens, tokens, dtype=torch.bool)
    for segment in segments:
        own = slice(segment.start, segment.end)
        mask[own, own] = torch.ones(len(segment), len(segment), dtype=torch.bool).tril()
        if segment.prefix is not None:
            mask[own, slice(*segment.prefix)] = True
    return mask
