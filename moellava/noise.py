"""The original's routing noise as a function of what it falls on, so that it can be repeated however work is divided.

`enable_router_noise` draws from a generator, one number after the other: what a token gets depends on what is computed
before and beside it. Here it depends on a seed, on the question, and on the token's position, layer and expert alone.
"""

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from moellava.modeling import MoELlavaForConditionalGeneration

__all__ = ["QuestionNoise", "enable_question_noise", "key_of", "uniform_numbers"]

GAMMA, FIRST, SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15
"""SplitMix64's constants as signed 64-bit integers. Source: Steele, Lea, Flood, OOPSLA 2014; Vigna's `splitmix64.c`."""

MOST = 4_096
"""More layers or experts than any model has: with the position they make one index."""


class QuestionNoise:
    """Uniform numbers for the routers of a model; before each pass it must be said whose questions its rows are.

    Args:
        seed: another one gives other noise to every token.
    """

    def __init__(self, seed: int):
        self._seed = seed
        self._keys: list[int] = []
        self._positions: torch.Tensor | None = None

    def ask(self, questions: Sequence[str]) -> None:
        """The passes that follow compute a row for each of these questions, known by their ids."""
        self._keys = [key_of(self._seed, question) for question in questions]

    def note_positions(self, module: torch.nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        """Before a pass through the language model: where its tokens stand, [rows, tokens] int64."""
        rows, tokens = kwargs["inputs_embeds"].shape[:2]
        positions = kwargs.get("position_ids")
        if positions is None:
            cache = kwargs.get("past_key_values")
            positions = torch.arange(tokens, device=kwargs["inputs_embeds"].device)[None]
            positions = positions + (cache.get_seq_length() if cache is not None else 0)
        self._positions = positions.expand(rows, tokens)

    def uniform(self, layer: int, like: torch.Tensor) -> torch.Tensor:
        """Numbers in (0, 1), of the shape [rows * tokens, experts] and on the device of `like`.

        Raises:
            ValueError: where it was not said whose the rows are.
        """
        positions = self._positions
        if positions is None or len(positions) != len(self._keys):
            rows = "none" if positions is None else len(positions)
            raise ValueError(f"question noise: {len(self._keys)} questions were named, for a pass of {rows} rows")
        keys = torch.tensor(self._keys, device=like.device)[:, None, None]  # [rows, 1, 1]
        experts = torch.arange(like.shape[-1], device=like.device)
        index = (positions.to(like.device)[:, :, None] * MOST + layer) * MOST + experts  # [rows, tokens, experts]
        return uniform_numbers(keys, index).view(like.shape)


def key_of(seed: int, question: str) -> int:
    """A signed 64-bit integer that stands for both."""
    digest = hashlib.sha256(f"{seed} {question}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "little", signed=True)


def uniform_numbers(keys: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The numbers at places of the sequences that keys begin: float32, inside (0, 1), equal on every device.

    Args:
        keys, index: int64, of shapes that fit together.
    """
    bits = _mixed(keys + index * GAMMA) >> 41 & (1 << 23) - 1
    return (2 * bits + 1).float() / (1 << 24)


def enable_question_noise(model: MoELlavaForConditionalGeneration, seed: int) -> QuestionNoise:
    """Draw second experts with Gumbel noise, as the original does, from numbers that follow from seed and question.

    Raises:
        ValueError: a dense model, which has no router.
    """
    if not model.config.moe.layers:
        raise ValueError("router noise needs a sparse model; this one has no sparse layer")
    model.config.moe.second_choice = "gumbel"
    noise = QuestionNoise(seed)
    model.model.language_model.register_forward_pre_hook(noise.note_positions, with_kwargs=True)
    for layer, block in model.model.sparse_blocks().items():
        block.router.uniform = partial(noise.uniform, layer)
    return noise


def _mixed(state: torch.Tensor) -> torch.Tensor:
    """SplitMix64's output function; int64 arithmetic wraps around."""
    state = (state ^ _shifted(state, 30)) * FIRST
    state = (state ^ _shifted(state, 27)) * SECOND
    return state ^ _shifted(state, 31)


def _shifted(value: torch.Tensor, places: int) -> torch.Tensor:
    """To the right, zeros from the left."""
    return (value >> places) & (1 << 64 - places) - 1
