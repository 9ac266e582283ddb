"""What the routers of a sparse model do: how many tokens each expert gets, and the paths that tokens take.

`RoutingRecorder` watches forward passes and `generate`; `expert_load` is for a training loop that has router logits at
hand. Shapes: L sparse layers, E experts (the most that a layer has), K choices per token, M modalities (image, text).
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch

from moellava.modeling import MoELlavaForConditionalGeneration
from moellava.sparse_layers import sparse_layers, watch

__all__ = [
    "MODALITIES",
    "Modality",
    "RoutingError",
    "RoutingRecorder",
    "SequenceRouting",
    "TokenPath",
    "check_recordable",
    "expert_load",
    "image_token_id",
    "sequence_routing",
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


class RoutingRecorder:
    """Records the routing of every sequence that a model sees while the `with` block runs.

    ```python
    with RoutingRecorder(model) as recorder:
        model.generate(**inputs)
    recorder.sequences[0].counts  # the first prompt of the batch
    ```

    A forward pass without a filled key-value cache begins new sequences, one with it continues them. Padding on either
    side does not count, nor do the rows that `generate` goes on feeding after a sequence has ended, nor the second
    forward pass of gradient checkpointing: a batch gives what its rows give one by one. Answers are not touched. Not for
    beam search, which swaps rows, nor for compiled models.

    Args:
        model: any sparse vision-language model of transformers; routed with whatever settings it has (noise, capacity).
        image_paths, text_paths, answer_paths: how many tokens of a sequence to keep the paths of.

    Raises:
        RoutingError: a dense model, or one whose layers have several sets of experts; a forward pass without
            `input_ids`, which tell pictures from text, or with an attention mask that is not [batch, sequence].
    """

    def __init__(
        self,
        model: Any,
        image_paths: int = IMAGE_PATHS,
        text_paths: int = TEXT_PATHS,
        answer_paths: int = ANSWER_PATHS,
    ):
        self._sparse = sparse_layers(model.get_decoder())
        check_recordable(model)
        self.layers = tuple(layer.index for layer in self._sparse)
        self.num_experts = tuple(layer.num_experts for layer in self._sparse)
        self.top_k = self._sparse[0].top_k
        self.sequences: list[SequenceRouting] = []
        self._model = model
        self._limits = {"image": image_paths, "text": text_paths}
        self._answer_paths = answer_paths
        self.drops = bool(getattr(getattr(model.config, "moe", None), "drop_tokens", False))
        self._image_token = image_token_id(model.config)
        self._batch: list[SequenceRouting] = []
        self._counts = self._dropped = np.zeros(0, np.int64)  # [batch, L, M, K, E] each
        self._ended = np.zeros(0, bool)  # [batch]
        self._pass: _ForwardPass | None = None
        self._handles: list[Any] = []

    def __enter__(self) -> "RoutingRecorder":
        inner = self._model.model if isinstance(self._model, MoELlavaForConditionalGeneration) else self._model
        self._signature = inspect.signature(inner.forward)
        self._handles = [
            inner.register_forward_pre_hook(self._begin, with_kwargs=True),
            inner.register_forward_hook(self._end, always_call=True),
            *(watch(layer, self._see) for layer in self._sparse),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._pass = [], None

    def totals(self) -> np.ndarray:
        """[L, M, K, E] int64: the counts of all sequences together."""
        shape = (len(self.layers), len(MODALITIES), self.top_k, max(self.num_experts))
        return sum((sequence.counts for sequence in self.sequences), np.zeros(shape, np.int64))

    def clear(self) -> None:
        """Forget what was recorded."""
        self.sequences, self._batch = [], []

    def _begin(self, module: torch.nn.Module, args: tuple, kwargs: dict) -> None:
        given = self._signature.bind(*args, **kwargs).arguments
        given |= given.pop("kwargs", {})
        input_ids, mask, cache = (given.get(name) for name in ("input_ids", "attention_mask", "past_key_values"))
        if input_ids is None:
            raise RoutingError("recording needs input_ids, which tell picture tokens from text")
        if mask is not None and (not isinstance(mask, torch.Tensor) or mask.dim() != 2):
            raise RoutingError("recording needs an attention mask of [batch, sequence]")
        ids = input_ids.cpu().numpy()  # [batch, S]
        valid = np.ones(ids.shape, bool) if mask is None else mask[:, -ids.shape[1] :].cpu().numpy().astype(bool)
        continues = cache is not None and int(cache.get_seq_length()) > 0
        if continues:
            self._ended |= np.isin(ids[:, 0], self._stop_ids())
            valid &= ~self._ended[:, None]
        else:
            self._begin_sequences(valid.sum(1))
        self._pass = _ForwardPass(ids, valid, ids == self._image_token, continues)

    def _begin_sequences(self, lengths: np.ndarray) -> None:
        shape = (len(lengths), len(self.layers), len(MODALITIES), self.top_k, max(self.num_experts))
        self._counts, self._dropped = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self._batch = [
            SequenceRouting(self._counts[row], self._dropped[row], length, 0)  # views: a pass adds to all at once
            for row, length in enumerate(lengths.tolist())
        ]
        self.sequences += self._batch
        self._ended = np.zeros(len(lengths), bool)

    def _see(self, index: torch.Tensor, weights: torch.Tensor) -> None:
        if self._pass is None:  # gradient checkpointing computes the layer once more, outside of the forward pass
            return
        if self.drops:
            index = torch.where(weights == 0, index + max(self.num_experts), index)
        self._pass.choices.append(index)

    def _end(self, module: torch.nn.Module, args: tuple, output: Any) -> None:
        seen, self._pass = self._pass, None
        if seen is None or len(seen.choices) < len(self.layers):  # the forward pass failed
            return
        device = seen.choices[0].device
        choices = torch.stack([index.to(device) for index in seen.choices]).cpu().numpy()  # [L, T, K]
        if choices.shape[1] != seen.ids.size:
            raise RoutingError(
                f"{choices.shape[1]} tokens were routed, but {seen.ids.size} fed: nothing tells which is which"
            )
        self._count(seen, choices)
        self._keep_paths(seen, choices[..., 0] % max(self.num_experts))

    def _count(self, seen: "_ForwardPass", choices: np.ndarray) -> None:
        layers, _, top_k = choices.shape
        experts, kinds = max(self.num_experts), 2 if self.drops else 1
        valid = seen.valid.reshape(-1)
        rows = np.repeat(np.arange(len(seen.ids)), seen.ids.shape[1])
        # One number per cell of [batch, M, L, K, kept (or dropped), E], and the cells are counted in one go.
        cell = (rows * len(MODALITIES) + ~seen.is_image.reshape(-1))[valid]  # [V]
        cell = (cell * layers + np.arange(layers)[:, None])[..., None]  # [L, V, 1]
        cell = (cell * top_k + np.arange(top_k)) * kinds * experts + choices[:, valid]  # [L, V, K]
        shape = (len(seen.ids), len(MODALITIES), layers, top_k, kinds, experts)
        counts = np.bincount(cell.reshape(-1), minlength=int(np.prod(shape))).reshape(shape).swapaxes(1, 2)
        self._counts += counts.sum(-2)
        if self.drops:
            self._dropped += counts[..., 1, :]
        for sequence, tokens in zip(self._batch, seen.valid.sum(1).tolist(), strict=True):
            sequence.tokens += tokens

    def _keep_paths(self, seen: "_ForwardPass", first: np.ndarray) -> None:
        """Add to each sequence the paths of some of its tokens; `first` is [L, T]."""
        past = self._answer_paths + seen.ids.shape[1]
        if seen.continues and all(one.tokens - one.prompt_tokens >= past for one in self._batch):
            return  # every answer was longer before this pass
        first = first.reshape(len(first), *seen.ids.shape)  # [L, batch, S]
        for row, (sequence, valid) in enumerate(zip(self._batch, seen.valid, strict=True)):
            columns = np.flatnonzero(valid)
            start = sequence.tokens - len(columns)
            for place in self._chosen_places(sequence, seen.is_image[row, columns], start, seen.continues):
                column = columns[place]
                modality = MODALITIES[0 if seen.is_image[row, column] else 1]
                experts = tuple(first[:, row, column].tolist())
                sequence.paths.append(TokenPath(modality, start + int(place), int(seen.ids[row, column]), experts))

    def _chosen_places(
        self, sequence: SequenceRouting, is_image: np.ndarray, start: int, continues: bool
    ) -> Sequence[int]:
        if continues:
            left = self._answer_paths - (start - sequence.prompt_tokens)
            return range(min(len(is_image), max(left, 0)))
        image, text = np.flatnonzero(is_image), np.flatnonzero(~is_image)
        return sorted([*_spread(image, self._limits["image"]), *_spread(text, self._limits["text"])])

    def _stop_ids(self) -> list[int]:
        eos = self._model.generation_config.eos_token_id
        return [] if eos is None else [eos] if isinstance(eos, int) else list(eos)


@dataclass
class _ForwardPass:
    """Tokens of one forward pass, [batch, S] each, and per layer so far the choices [batch * S, K]."""

    ids: np.ndarray
    valid: np.ndarray
    is_image: np.ndarray
    continues: bool
    choices: list[torch.Tensor] = field(default_factory=list)


def check_recordable(model: Any) -> None:
    """RoutingError: a dense model, or one whose routing cannot be recorded."""
    layers = sparse_layers(model.get_decoder())
    if not layers:
        raise RoutingError("has no sparse layer")
    if len({layer.index for layer in layers}) < len(layers):
        raise RoutingError("has several sets of experts in a layer, each for some tokens only, which is too much")
    if len({layer.top_k for layer in layers}) > 1:
        raise RoutingError("has layers that use different numbers of experts per token, which is too much")


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
        for place in [*sorted([*_spread(image, IMAGE_PATHS), *_spread(text, TEXT_PATHS)]), *answer]
    ]
    return SequenceRouting(counts, np.zeros(shape, np.int64), prompt_tokens, len(ids), paths)


def _spread(places: np.ndarray, limit: int) -> np.ndarray:
    """At most `limit` of the places, evenly spaced."""
    if len(places) <= limit:
        return places
    return places[((np.arange(limit) + 0.5) * len(places) / limit).astype(int)]


def expert_load(
    router_logits: Sequence[torch.Tensor], attention_mask: torch.Tensor | None = None, top_k: int = 1
) -> torch.Tensor:
    """Share of the tokens' choices that each expert gets: [L, E] float32, every row sums to 1.

    1 / E everywhere is a perfect balance; 0 is a dead expert. Nothing is copied to the host.

    Args:
        router_logits: one [T, E] tensor per sparse layer, as the model's output has them; layers with fewer experts
            than others get zeros at the end.
        attention_mask: [batch, sequence]; rows where it is 0 are left out.
        top_k: choices that count; 1 is what the balancing loss balances.
    """
    most = max(logits.shape[-1] for logits in router_logits)
    loads = []
    for logits in router_logits:
        chosen = logits.topk(top_k, dim=-1).indices  # [T, K]
        weights = torch.ones(chosen.shape, device=logits.device)
        if attention_mask is not None:
            weights = weights * attention_mask.reshape(-1, 1).to(weights)
        counts = weights.new_zeros(most).scatter_add_(0, chosen.reshape(-1), weights.reshape(-1))
        loads.append(counts / counts.sum().clamp(min=1))
    return torch.stack([load.to(loads[0].device) for load in loads])
