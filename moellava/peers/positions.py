"""Tables of positions of one picture size, resized to another."""

import math

import torch
import torch.nn.functional as F

__all__ = ["resize_table"]


def resize_table(table: torch.Tensor, rows: int) -> torch.Tensor:
    """A table [n, width] of a square grid's positions as one of another square grid, [rows, width].

    Resizing is done in float32 (bicubic, corners not aligned, no antialiasing) and gives float32; a table that has the
    size already is returned as it is.
    """
    if len(table) == rows:
        return table
    old, new = math.isqrt(len(table)), math.isqrt(rows)
    grid = table.float().view(1, old, old, -1).permute(0, 3, 1, 2)  # [1, width, old, old]
    resized = F.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
    return resized.permute(0, 2, 3, 1).flatten(0, 2)
