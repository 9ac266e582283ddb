"""Questions about the same pictures as token ids and model inputs; the pictures are prepared once."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from moe_eval.engine.backend import Request
from moe_eval.engine.likelihood import continuation_ids
from moe_eval.engine.prefix.packing import Pack, Prompt, Row, make_rows
from moe_eval.engine.prompting import picture_options, render

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Encoder", "pack_inputs"]


class Encoder:
    """Encodes groups of questions with a model's processor.

    A processor replaces the place of a picture by as many tokens as it takes, for which it prepares the picture. Of
    questions about the same pictures only the first goes through it. The ids of the others are put together of the first's
    and of what the tokenizer makes of their words, in one of two ways (`_of_whole`, `_of_pieces`). Which of them is this
    processor's, the first group of different questions shows; where neither is, every question goes through the processor.

    Args:
        share: whether questions may share rows; where routing noise differs from question to question, they may not.
    """

    def __init__(self, processor: Any, share: bool = True):
        self._processor = processor
        self._share = share
        self._image_token: str | None = getattr(processor, "image_token", None)
        self._way: Callable[..., list[int] | None] | None = None
        self._is_known = False
        # A few, because the first prompt of a group is looked at with each of the others.
        self._raw_ids = lru_cache(maxsize=2)(lambda text: processor.tokenizer(text)["input_ids"])

    def rows(self, requests: Sequence[Request], images: "list[Image]") -> list[Row]:
        """The rows of questions about the same pictures, all with the same `pad_images`."""
        texts = [render(self._processor, request, len(images)) for request in requests]
        different = list(dict.fromkeys(texts))
        if not images:
            return self._rows_without_pictures(requests, texts, different)
        first = self._encode(different[0], images, requests[0].pad_images)
        ids = {different[0]: first["input_ids"][0].tolist()}
        for text in different[1:]:
            ids[text] = self._ids(text, different[0], ids[different[0]], images, requests[0].pad_images)
        prompts = [self._prompt(request, ids[text]) for request, text in zip(requests, texts, strict=True)]
        rows = self._make_rows(prompts, self._picture_end(ids[different[0]]))
        for row in rows:
            of_first = row.starts_like(ids[different[0]])
            inputs = first if of_first else self._encode(_text_of(row, requests, texts), images, requests[0].pad_images)
            row.take(inputs, requests[0].pad_images)
        return rows

    def _rows_without_pictures(
        self, requests: Sequence[Request], texts: Sequence[str], different: Sequence[str]
    ) -> list[Row]:
        ids = dict(zip(different, self._processor(text=list(different))["input_ids"], strict=True))
        prompts = [self._prompt(request, ids[text]) for request, text in zip(requests, texts, strict=True)]
        rows = self._make_rows(prompts, 0)
        for row in rows:
            row.take({}, None)
        return rows

    def _make_rows(self, prompts: Sequence[Prompt], picture_end: int) -> list[Row]:
        if self._share:
            return make_rows(prompts, picture_end)
        return [row for prompt in prompts for row in make_rows([prompt], picture_end)]

    def _prompt(self, request: Request, ids: Sequence[int]) -> Prompt:
        continuations = continuation_ids(self._processor, request) if request.continuations else {}
        return Prompt(request, ids, continuations)

    def _encode(self, text: str, images: "list[Image]", pad_images: bool) -> Mapping[str, Any]:
        options = picture_options(self._processor, pad_images)
        return self._processor(text=[text], images=[images], return_tensors="pt", **options)

    def _ids(self, text: str, first: str, expanded: list[int], images: "list[Image]", pad_images: bool) -> list[int]:
        if self._way is not None and (guess := self._way(text, first, expanded)) is not None:
            return guess
        right: list[int] = self._encode(text, images, pad_images)["input_ids"][0].tolist()
        if not self._is_known:
            ways = (self._of_whole, self._of_pieces)
            self._way = next((way for way in ways if way(text, first, expanded) == right), None)
            self._is_known = True
        return right

    def _of_whole(self, text: str, first: str, expanded: list[int]) -> list[int] | None:
        """The tokenizer takes the whole text, with as many picture tokens in it."""
        raw, own = self._raw_ids(first), self._raw_ids(text)
        after = _shared_end(raw, expanded)
        placeholder = len(raw) - after
        if own[:placeholder] != raw[:placeholder]:
            return None
        return expanded[: len(expanded) - after] + own[placeholder:]

    def _of_pieces(self, text: str, first: str, expanded: list[int]) -> list[int] | None:
        """The tokenizer takes what stands between pictures piece by piece."""
        token = self._image_token
        if not token or token not in first or text.rpartition(token)[0] != first.rpartition(token)[0]:
            return None
        tail = self._processor.tokenizer(text.rpartition(token)[2], add_special_tokens=False)["input_ids"]
        return expanded[: self._picture_end(expanded)] + tail

    def _picture_end(self, ids: list[int]) -> int:
        """Tokens up to the last one of a picture; all where it cannot be told."""
        image_id = getattr(self._processor, "image_token_id", None)
        if image_id is None or image_id not in ids:
            return len(ids)
        return len(ids) - ids[::-1].index(image_id)


def pack_inputs(pack: Pack, device: Any, dtype: torch.dtype) -> dict[str, Any]:
    """Inputs of the prefix pass: ids and mask [rows, tokens], padded on the left, what else there is per token, and the
    rows' pictures one after another."""
    length = max(len(row.prefix) for row in pack.rows)

    def padded(values: Sequence[torch.Tensor]) -> torch.Tensor:
        rows = [torch.nn.functional.pad(value, (length - len(value), 0)) for value in values]
        return torch.stack(rows)

    inputs = {
        "input_ids": padded([torch.tensor(row.prefix) for row in pack.rows]),
        "attention_mask": padded([torch.ones(len(row.prefix), dtype=torch.long) for row in pack.rows]),
        **{name: padded([row.per_token[name] for row in pack.rows]) for name in pack.rows[0].per_token},
        **{name: torch.cat([row.pictures[name] for row in pack.rows]) for name in pack.rows[0].pictures},
    }
    return {
        name: value.to(device, dtype=dtype if value.is_floating_point() else None) for name, value in inputs.items()
    }


def _text_of(row: Row, requests: Sequence[Request], texts: Sequence[str]) -> str:
    names = {request.id for request in row.branches[0].requests}
    return next(text for request, text in zip(requests, texts, strict=True) if request.id in names)


def _shared_end(one: Sequence[int], other: Sequence[int]) -> int:
    """How many items both end with, without those that both begin with."""
    shorter = min(len(one), len(other))
    before = next((place for place in range(shorter) if one[place] != other[place]), shorter)
    left = shorter - before
    return next((place for place in range(left) if one[-1 - place] != other[-1 - place]), left)
