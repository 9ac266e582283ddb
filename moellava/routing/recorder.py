"""Watches a sparse model and counts what its routers choose.

Shapes: T tokens of a forward pass (batch * S), L sparse layers, E experts (the most that a layer has), K choices per
token, M modalities (image, text).
"""

import inspect
from collections import defaultdict
from functools import partial
from typing import Any

import numpy as np
import torch

from moellava.modeling import MoELlavaForConditionalGeneration
from moellava.routing.forward_pass import SECOND_SET, ForwardPass, together
from moellava.routing.sequences import (
    ANSWER_PATHS,
    IMAGE_PATHS,
    MODALITIES,
    TEXT_PATHS,
    RoutingError,
    SequenceRouting,
    TokenPath,
    image_token_id,
    spread,
)
from moellava.sparse_layers import SparseLayer, sparse_layers, watch

__all__ = ["RoutingRecorder", "check_recordable"]

PASSES = 32
"""Forward passes that are kept until they are counted together, which is cheaper than one by one."""


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
    beam search, which swaps rows, nor for compiled models. Where a layer has a second set of experts for pictures
    (Ernie-4.5-VL), it is numbered on from the first.

    Args:
        model: any sparse vision-language model of transformers; routed with whatever settings it has (noise, capacity).
        image_paths, text_paths, answer_paths: how many tokens of a sequence to keep the paths of.

    Raises:
        RoutingError: a dense model, or one that `check_recordable` refuses; a forward pass without `input_ids`, which
            tell pictures from text, with an attention mask that is not [batch, sequence], or with several tokens after
            a filled cache, which may be a prompt's (`prefill_chunk_size`) or drafted ones. A last piece of one token
            cannot be told from a generated one.
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
        experts: dict[int, int] = defaultdict(int)
        for layer in self._sparse:
            experts[layer.index] += layer.num_experts
        self.layers, self.num_experts = tuple(experts), tuple(experts.values())
        self.top_k = self._sparse[0].top_k
        self._sequences: list[SequenceRouting] = []
        self._model = model
        self._limits = {"image": image_paths, "text": text_paths}
        self._answer_paths = answer_paths
        self.drops = bool(getattr(getattr(model.config, "moe", None), "drop_tokens", False))
        self._image_token = image_token_id(model.config)
        self._batch: list[SequenceRouting] = []
        self._counts = self._dropped = np.zeros(0, np.int64)  # [batch, L, M, K, E] each
        self._ended = np.zeros(0, bool)  # [batch]
        self._pass: ForwardPass | None = None
        self._passes: list[ForwardPass] = []  # not yet counted, of one batch
        self._handles: list[Any] = []

    def __enter__(self) -> "RoutingRecorder":
        inner = self._model.model if isinstance(self._model, MoELlavaForConditionalGeneration) else self._model
        self._signature = inspect.signature(inner.forward)
        self._handles = [
            inner.register_forward_pre_hook(self._begin, with_kwargs=True),
            inner.register_forward_hook(self._end, always_call=True),
            *(watch(layer, partial(self._see, layer)) for layer in self._sparse),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._pass = [], None

    @property
    def sequences(self) -> list[SequenceRouting]:
        """What was recorded, in the order in which it was seen."""
        self._count_passes()
        return self._sequences

    def totals(self) -> np.ndarray:
        """[L, M, K, E] int64: the counts of all sequences together."""
        shape = (len(self.layers), len(MODALITIES), self.top_k, max(self.num_experts))
        return sum((sequence.counts for sequence in self.sequences), np.zeros(shape, np.int64))

    def clear(self) -> None:
        """Forget what was recorded."""
        self._sequences, self._batch, self._passes = [], [], []

    def _begin(self, module: torch.nn.Module, args: tuple, kwargs: dict) -> None:
        given = self._signature.bind(*args, **kwargs).arguments
        given |= given.pop("kwargs", {})
        input_ids, mask, cache = (given.get(name) for name in ("input_ids", "attention_mask", "past_key_values"))
        if input_ids is None:
            raise RoutingError("recording needs input_ids, which tell picture tokens from text")
        if mask is not None and (not isinstance(mask, torch.Tensor) or mask.dim() != 2):
            raise RoutingError("recording needs an attention mask of [batch, sequence]")
        continues = cache is not None and int(cache.get_seq_length()) > 0
        if continues and input_ids.shape[1] > 1:
            raise RoutingError(
                "several tokens at once after others cannot be told into prompt and answer (prefill_chunk_size, drafts)"
            )
        if not continues or len(self._passes) == PASSES:
            self._count_passes()
        self._pass = ForwardPass(input_ids, mask, continues, given.get(SECOND_SET))

    def _see(self, layer: SparseLayer, index: torch.Tensor, weights: torch.Tensor) -> None:
        if self._pass is None:  # gradient checkpointing computes the layer once more, outside of the forward pass
            return
        if self.drops:
            index = torch.where(weights == 0, index + max(self.num_experts), index)
        self._pass.choices[layer.index].append(index + layer.first if layer.first else index)

    def _end(self, module: torch.nn.Module, args: tuple, output: Any) -> None:
        seen, self._pass = self._pass, None
        if seen is None or len(seen.choices) < len(self.layers):  # the forward pass failed
            return
        routed = sum(len(index) for index in seen.choices[self.layers[0]])
        if routed != seen.ids.numel():
            raise RoutingError(f"{routed} tokens were routed, but {seen.ids.numel()} fed: nothing tells which is which")
        self._passes.append(seen)

    def _count_passes(self) -> None:
        passes, self._passes = self._passes, []
        if not passes:
            return
        ids, valid, choices = together(passes, self.layers)
        prompt = 0 if passes[0].continues else passes[0].ids.shape[1]
        if prompt:
            self._begin_sequences(valid[:, :prompt].sum(1))
        stops = np.isin(ids[:, prompt:], self._stop_ids())  # [batch, generated tokens]
        ended = np.logical_or.accumulate(np.column_stack([self._ended, stops]), axis=1)
        self._ended = ended[:, -1]
        valid[:, prompt:] &= ~ended[:, 1:]
        is_image = ids == self._image_token
        self._count(is_image, valid, choices)
        self._keep_paths(ids, is_image, valid, choices[..., 0] % max(self.num_experts))

    def _begin_sequences(self, lengths: np.ndarray) -> None:
        shape = (len(lengths), len(self.layers), len(MODALITIES), self.top_k, max(self.num_experts))
        self._counts, self._dropped = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self._batch = [
            SequenceRouting(self._counts[row], self._dropped[row], length, 0)  # views: all are added to at once
            for row, length in enumerate(lengths.tolist())
        ]
        self._sequences += self._batch
        self._ended = np.zeros(len(lengths), bool)

    def _count(self, is_image: np.ndarray, valid: np.ndarray, choices: np.ndarray) -> None:
        layers, top_k = len(choices), choices.shape[-1]
        experts, kinds = max(self.num_experts), 2 if self.drops else 1
        rows = np.arange(len(valid))[:, None]
        # One number per cell of [batch, M, L, K, kept (or dropped), E], and the cells are counted in one go.
        cell = (rows * len(MODALITIES) + ~is_image)[valid]  # [V]
        cell = (cell * layers + np.arange(layers)[:, None])[..., None]  # [L, V, 1]
        cell = (cell * top_k + np.arange(top_k)) * kinds * experts + choices[:, valid]  # [L, V, K]
        shape = (len(valid), len(MODALITIES), layers, top_k, kinds, experts)
        counts = np.bincount(cell.reshape(-1), minlength=int(np.prod(shape))).reshape(shape).swapaxes(1, 2)
        self._counts += counts.sum(-2)
        if self.drops:
            self._dropped += counts[..., 1, :]

    def _keep_paths(self, ids: np.ndarray, is_image: np.ndarray, valid: np.ndarray, first: np.ndarray) -> None:
        """Add to each sequence its tokens, and the paths of some of them; `first` is [L, batch, S]."""
        for row, sequence in enumerate(self._batch):
            columns = np.flatnonzero(valid[row])
            start = sequence.tokens
            sequence.tokens += len(columns)
            places = self._chosen_places(is_image[row, columns], start, sequence.prompt_tokens)
            chosen = columns[places]
            sequence.paths += [
                TokenPath(MODALITIES[0 if image else 1], start + place, token, tuple(experts))
                for image, place, token, experts in zip(
                    is_image[row, chosen].tolist(),
                    places.tolist(),
                    ids[row, chosen].tolist(),
                    first[:, row, chosen].T.tolist(),
                    strict=True,
                )
            ]

    def _chosen_places(self, is_image: np.ndarray, start: int, prompt_tokens: int) -> np.ndarray:
        """Of tokens from position `start` on those whose paths are kept, counted from there."""
        answer = np.arange(
            max(prompt_tokens - start, 0), min(prompt_tokens + self._answer_paths - start, len(is_image))
        )
        if start:
            return answer
        image, text = np.flatnonzero(is_image[:prompt_tokens]), np.flatnonzero(~is_image[:prompt_tokens])
        prompt = np.concatenate([spread(image, self._limits["image"]), spread(text, self._limits["text"])])
        return np.concatenate([np.sort(prompt), answer])

    def _stop_ids(self) -> list[int]:
        eos = self._model.generation_config.eos_token_id
        return [] if eos is None else [eos] if isinstance(eos, int) else list(eos)


def check_recordable(model: Any) -> None:
    """RoutingError: a dense model, or one whose routing cannot be recorded."""
    layers = sparse_layers(model.get_decoder())
    if not layers:
        raise RoutingError("has no sparse layer")
    if any(layer.first and not layer.is_for_vision for layer in layers):
        raise RoutingError("has several sets of experts in a layer, each for some tokens only, which is too much")
    if len({layer.top_k for layer in layers}) > 1:
        raise RoutingError("has layers that use different numbers of experts per token, which is too much")
