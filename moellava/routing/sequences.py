"""What is kept of one sequence: how often each expert was chosen, and the ways of a few tokens.

Shapes: S tokens of a sequence, L sparse layers, E experts (the most that a layer has), K choices per token, M modalities.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

__all__ = [
    "MODALITIES",
    "Modality",
    "RoutingError",
    "SequenceRouting",
    "TokenPath",
    "image_token_id",
    "sequence_routing",
    "spread",
]

Modality = Literal["image", "text"]
MODALITIES: tuple[Modality, ...] = ("image", "text")
"""The order of the modality axis. What the model generates is text."""

IMAGE_PATHS, TEXT_PATHS, ANSWER_PATHS = 8, 16, 4


class RoutingError(ValueError):
    """A model, or a forward pass, whose routing cannot be recorded; the message says why."""


@dataclass(frozen=True)
class TokenPath:
    """The first choice of every sparse layer for one token.

    Args:
        position: of the token in its sequence, counted without padding, from 0.
        token: its id.
        experts: one per sparse layer, from 0.
    """

    modality: Modality
    position: int
    token: int
    experts: tuple[int, ...]


@dataclass
class SequenceRouting:
    """One sequence: a prompt and what was generated after it, without padding.

    Args:
        counts: [L, M, K, E] int64: tokens of a modality whose k-th choice is an expert, dropped choices included.
        dropped: [L, M, K, E] int64: those of them that found no place (only `drop_tokens` ever drops).
        prompt_tokens: length of the prompt; later positions were generated.
        tokens: length so far. The last token that a model generates is never fed back, so it has no route.
        paths: of a few tokens, spread evenly over the prompt's picture tokens and its text tokens, and of the first
            generated ones.
    """

    counts: np.ndarray
    dropped: np.ndarray
    prompt_tokens: int
    tokens: int
    paths: list[TokenPath] = field(default_factory=list)


def image_token_id(config: Any) -> int:
    """The id that stands for a row of a picture in a model's `input_ids` (RoutingError: the configuration has none)."""
    names = ("image_token_id", "image_token_index")
    found: int | None = next((value for name in names if (value := getattr(config, name, None)) is not None), None)
    if found is None:
        raise RoutingError(f"of type {config.model_type!r} names no image token, which would tell pictures from text,")
    return found


def sequence_routing(config: Any, ids: np.ndarray, choices: np.ndarray, prompt_tokens: int) -> SequenceRouting:
    """The routing of one sequence whose choices are known, as `RoutingRecorder` would have recorded it.

    Args:
        config: of the sparse model, in which no choice is dropped.
        ids: [S] token ids of prompt and answer, as far as they were fed to the model.
        choices: [S, L, K] the experts of every token.
        prompt_tokens: how many of the tokens are the prompt's.
    """
    num_experts = config.moe.experts_per_layer()
    _, layers, top_k = choices.shape
    shape = (layers, len(MODALITIES), top_k, max(num_experts.values()))
    is_image = ids == config.image_token_id
    counts = np.zeros(shape, np.int64)
    layer, choice = np.arange(layers)[:, None], np.arange(top_k)
    np.add.at(counts, (layer, (~is_image).astype(int)[:, None, None], choice, choices), 1)
    image, text = np.flatnonzero(is_image[:prompt_tokens]), np.flatnonzero(~is_image[:prompt_tokens])
    answer = range(prompt_tokens, min(len(ids), prompt_tokens + ANSWER_PATHS))
    paths = [
        TokenPath(
            MODALITIES[0 if is_image[place] else 1], int(place), int(ids[place]), tuple(choices[place, :, 0].tolist())
        )
        for place in [*sorted([*spread(image, IMAGE_PATHS), *spread(text, TEXT_PATHS)]), *answer]
    ]
    return SequenceRouting(counts, np.zeros(shape, np.int64), prompt_tokens, len(ids), paths)


def spread(places: np.ndarray, limit: int) -> np.ndarray:
    """At most `limit` of the places, evenly spaced."""
    if len(places) <= limit:
        return places
    return places[((np.arange(limit) + 0.5) * len(places) / limit).astype(int)]
