"""How the branches of a row stand one behind the other in the pass that computes them all."""

from moe_eval.engine.prefix.packing import Row
from moe_eval.engine.prefix.slots import PADDING

__all__ = ["NOTHING", "laid_out"]

NOTHING = (0, PADDING, 0)
"""A place that holds no token."""


def laid_out(row: Row, count: int, depth: int) -> list[tuple[int, int, int]]:
    """The tokens of a row's branches as (id, branch, place in the prompt); the last `depth` of each, or padding, are the last
    `count * depth`."""
    start = len(row.prefix)
    branches = [
        [(token, name, start + place) for place, token in enumerate(branch.ids)]
        for name, branch in enumerate(row.branches)
    ]
    stems = [token for branch in branches for token in branch[:-depth]]
    ends = [[NOTHING] * (depth - len(branch)) + branch[-depth:] for branch in branches]
    padding = [NOTHING] * ((count - len(branches)) * depth)
    return stems + [token for end in ends for token in end] + padding
