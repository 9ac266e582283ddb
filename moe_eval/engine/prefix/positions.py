"""Where tokens stand: one number per token, or several where a picture's tokens have time, height and width (Qwen2-VL and later)."""

from collections.abc import Mapping
from typing import Any

import torch

__all__ = ["Positions"]


class Positions:
    """Positions of a pack's prefixes, and from them those of what goes on below.

    A model with several axes has `get_rope_index`, from which `generate` takes them, too. A picture there takes fewer positions than tokens, so that
    what comes after it is shifted; text has the same number on every axis.

    Attributes:
        of_prefix: [rows, tokens] or [axes, rows, tokens] int64.

    Args:
        inputs: of the prefix pass, as for `answer_pack`.
    """

    def __init__(self, model: Any, inputs: Mapping[str, Any]):
        self._axes = 0
        self._shift: torch.Tensor | None = None
        self.of_prefix: torch.Tensor
        find = getattr(model.base_model, "get_rope_index", None)
        if find is None or "image_grid_thw" not in inputs:
            self.of_prefix = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
        else:
            self.of_prefix, self._shift = find(**inputs)  # [axes, rows, tokens], [rows, 1]
            self._axes = len(self.of_prefix)

    def below(self, places: torch.Tensor) -> torch.Tensor:
        """Positions of tokens whose places in their sequences are [rows, tokens]; [rows, tokens] or [axes, rows, tokens]."""
        return places if self._shift is None else (places + self._shift).expand(self._axes, -1, -1)

    def keep(self, rows: torch.Tensor) -> None:
        """Drop all rows but these."""
        if self._shift is not None:
            self._shift = self._shift[rows]
