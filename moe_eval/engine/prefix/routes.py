"""What the routers of a sparse model chose, pass by pass, put together again for each question.

A shared token counts once for each question that it serves, as if each had been asked alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from moe_eval.engine.prefix.slots import PREFIX

__all__ = ["Routes"]


class Routes:
    """Watches the routers of a model of ours while a pack is answered.

    Args:
        model: a sparse `MoELlavaForConditionalGeneration`.
    """

    def __init__(self, model: Any):
        experts = model.config.moe.experts_per_layer()
        self.layers = tuple(sorted(experts))
        self.num_experts = tuple(experts[layer] for layer in self.layers)
        self.drops = False  # a model that drops tokens is not answered by this engine
        self._model = model
        self._seen: list[torch.Tensor] = []  # of this pass, [tokens, top_k] per sparse layer
        self._passes: list[tuple[list[int], np.ndarray, np.ndarray, np.ndarray]] = []
        self._rows: list[int] = []

    @contextmanager
    def watching(self, rows: int) -> Iterator["Routes"]:
        """Inside, a pack of so many rows is answered."""
        self._passes, self._rows = [], list(range(rows))
        blocks = self._model.model.sparse_blocks().values()
        handles = [block.router.register_forward_hook(self._see) for block in blocks]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def _see(self, module: torch.nn.Module, args: tuple, output: tuple[torch.Tensor, ...]) -> None:
        self._seen.append(output[2])

    def note(self, ids: torch.Tensor, owner: torch.Tensor) -> None:
        """A pass has ended, over tokens [rows, tokens] that belong to `owner` [rows, tokens]."""
        choices = torch.stack([index.view(*ids.shape, -1) for index in self._seen], dim=2)  # [rows, tokens, L, K]
        self._seen = []
        self._passes.append((self._rows, ids.cpu().numpy(), owner.cpu().numpy(), choices.cpu().numpy()))

    def keep(self, rows: Sequence[int]) -> None:
        """From now on only these rows are computed."""
        self._rows = list(rows)

    def of(self, row: int, branch: int, below: int | None, prompt_tokens: int) -> Any:
        """The `moellava.routing.SequenceRouting` of a branch, its row's prefix and the branch below it included."""
        from moellava.routing import sequence_routing

        ids, choices = [], []
        for rows, of_ids, owner, chosen in self._passes:
            if row not in rows:
                continue
            place = rows.index(row)
            mine = (owner[place] == branch) | (owner[place] == PREFIX) | (owner[place] == below)
            ids.append(of_ids[place][mine])
            choices.append(chosen[place][mine])
        return sequence_routing(self._model.config, np.concatenate(ids), np.concatenate(choices), prompt_tokens)
