"""The plain backend: batches of prompts through `model.generate`, for any image-text-to-text model of transformers."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from moe_eval.chat.thoughts import has_tags, split_thoughts
from moe_eval.engine.backend import Answer, Request, Response, Routing, TokenPath, Unanswered
from moe_eval.engine.likelihood import plain_likelihood
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prefetch import open_images
from moe_eval.engine.prompting import Batch, TooLongError, check_length, encode, thinks_on
from moe_eval.engine.sampling import Draws
from moe_eval.engine.sourced import SourcedBackend
from moe_eval.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["GenerateBackend", "plain_routing", "response", "stop_ids", "stop_ids_of"]


class GenerateBackend(SourcedBackend):
    """Greedy or drawn answers in left-padded batches; where answers are given, one plain forward pass after the other.

    The model is loaded when the first question comes, so that a finished run costs no loading.

    Args:
        source: where the model is and how to load it.
        batch_size: prompts per call of `generate`.
        routing: whether responses say how their tokens were routed; the model must be a sparse one.
    """

    engine = "generate"

    def __init__(self, source: ModelSource, batch_size: int = 16, routing: bool = False):
        super().__init__(source, routing)
        self._batch_size = batch_size

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answers batch by batch, in the order of the requests but for unreadable pictures, which come first."""
        batch: Batch = []
        for item in open_images(requests, ahead=4 * self._batch_size):
            if isinstance(item, Unanswered):
                yield item
                continue
            if batch and (len(batch) == self._batch_size or not _fit_together(batch[0][0], item[0])):
                yield from self._answer(batch)
                batch = []
            batch.append(item)
        if batch:
            yield from self._answer(batch)

    def _answer(self, batch: Batch) -> list[Answer]:
        """Answers to a batch; prompts that are too long are taken out of it."""
        try:
            return [*self._answer_all(batch)]
        except TooLongError as error:
            long = {item.id for item in error.unanswered}
            rest = [item for item in batch if item[0].id not in long]
            return [*error.unanswered, *(self._answer(rest) if rest else ())]

    def _answer_all(self, batch: Batch) -> list[Response]:
        if batch[0][0].continuations:
            return [self._measure(request, images) for request, images in batch]
        self.ask([request.id for request, _ in batch])
        if not self._routing:
            return _answer(*self.loaded, batch)
        from moellava.routing import RoutingError

        with self._recorder as recorder:
            recorder.clear()
            try:
                responses = _answer(*self.loaded, batch)
            except RoutingError as error:
                raise UserError(f"model {self._source.name}: --routing: {error}; leave it out") from error
        return [
            replace(response, routing=plain_routing(recorder, sequence, self._token_text))
            for response, sequence in zip(responses, recorder.sequences, strict=True)
        ]

    def _measure(self, request: Request, images: "list[Image]") -> Response:
        import torch

        self.ask([request.id])
        try:
            return plain_likelihood(*self.loaded, request, images)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"{self.loaded[0].device} has too little memory for question {request.id} and its given answers; what was answered is kept"
            ) from error

    @cached_property
    def _recorder(self) -> Any:
        from moellava.routing import RoutingRecorder

        return RoutingRecorder(self.loaded[0])


def _fit_together(one: Request, other: Request) -> bool:
    return _settings(one) == _settings(other)


def _settings(request: Request) -> tuple[int, bool, bool, bool | None]:
    return request.max_new_tokens, request.pad_images, bool(request.continuations), request.thinking


def _answer(model: Any, processor: Any, batch: Batch) -> list[Response]:
    import torch

    requests = [request for request, _ in batch]
    inputs = encode(processor, batch).to(model.device, dtype=model.dtype)
    lengths = inputs["attention_mask"].sum(-1).tolist()
    check_length(model.config, {request.id: n for request, n in zip(requests, lengths, strict=True)})
    tokenizer = processor.tokenizer
    encodes = getattr(model.config.get_text_config(), "is_encoder_decoder", False)
    before = 1 if encodes else inputs["input_ids"].shape[1]  # a decoder beside an encoder starts with one token
    try:
        with torch.no_grad():  # and not inference_mode, under which quantised experts cannot be taken from their stack
            sequences = model.generate(
                **inputs,
                max_new_tokens=requests[0].max_new_tokens,
                do_sample=False,
                num_beams=1,
                temperature=None,
                top_p=None,
                top_k=None,
                num_return_sequences=1,
                tokenizer=tokenizer,  # which stop strings want
                logits_processor=[Draws(requests, before)],
                pad_token_id=_pad_token_id(model, tokenizer),
            )
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"{model.device} has too little memory for {len(batch)} prompts at once; what was answered is kept: "
            "start again with a smaller --batch-size"
        ) from error
    stops = stop_ids(model, tokenizer)
    answers = sequences[:, before:].tolist()  # [batch, new tokens]
    strings = model.generation_config.stop_strings or ()
    strings = [strings] if isinstance(strings, str) else strings
    begun = thinks_on(processor, requests[0])
    return [
        response(request.id, ids, stops, tokenizer, strings, begun)
        for request, ids in zip(requests, answers, strict=True)
    ]


def response(
    request_id: str,
    ids: list[int],
    stops: Set[int],
    tokenizer: Any,
    stop_strings: Sequence[str] = (),
    begun: bool = False,
) -> Response:
    """The answer that generated tokens are: up to what stopped it, which is no part of it, whatever the tokenizer calls it.

    Args:
        ids: of the generated tokens; what follows the first of `stops` is padding.
        stops: ids that end an answer.
        stop_strings: texts that end an answer.
        begun: whether the prompt ended in thoughts already.
    """
    end = next((position for position, token in enumerate(ids) if token in stops), None)
    kept = ids if end is None else ids[: end + 1]
    text = tokenizer.decode(ids[:end], skip_special_tokens=True)
    found = [string for string in stop_strings if string in text]
    if found:
        text = text[: min(map(text.index, found))]
        kept = next(
            ids[:count]
            for count in range(1, len(ids) + 1)
            if any(one in tokenizer.decode(ids[:count]) for one in found)
        )
    thoughts, answer = split_thoughts(_with_tags(text, ids[:end], tokenizer), begun)
    return Response(
        id=request_id,
        text=answer,
        tokens=len(kept),
        finish_reason="length" if end is None and not found else "stop",
        reasoning=thoughts or None,
    )


def _with_tags(text: str, ids: list[int], tokenizer: Any) -> str:
    """The text of an answer, with the tags of thoughts in it where the tokenizer has them among its special tokens."""
    raw = tokenizer.decode(ids, skip_special_tokens=False)
    if not has_tags(raw) or has_tags(text):
        return text
    special = [token for token in tokenizer.all_special_tokens if not has_tags(token)]
    return re.sub("|".join(map(re.escape, special)), "", raw) if special else raw


def plain_routing(recorder: Any, sequence: Any, token_text: Callable[[int], str]) -> Routing:
    """A `moellava.routing.SequenceRouting` in plain values."""
    from moellava.routing import MODALITIES

    def plain(counts: Any) -> dict:  # from [L, M, K, E], of which a layer may have fewer experts than others
        return {
            modality: [layer[:, :experts].tolist() for layer, experts in zip(of, recorder.num_experts, strict=True)]
            for modality, of in zip(MODALITIES, counts.swapaxes(0, 1), strict=True)
        }

    return Routing(
        layers=recorder.layers,
        counts=plain(sequence.counts),
        dropped=plain(sequence.dropped) if recorder.drops else None,
        prompt_tokens=sequence.prompt_tokens,
        paths=tuple(
            TokenPath(path.modality, path.position, token_text(path.token), path.experts) for path in sequence.paths
        ),
    )


def stop_ids(model: Any, tokenizer: Any) -> set[int]:
    return stop_ids_of(model.generation_config, tokenizer)


def stop_ids_of(generation_config: Any, tokenizer: Any) -> set[int]:
    """The tokens that end an answer."""
    eos = generation_config.eos_token_id
    eos = tokenizer.eos_token_id if eos is None else eos
    return set(eos) if isinstance(eos, (list, tuple)) else {eos}


def _pad_token_id(model: Any, tokenizer: Any) -> int:
    """Any id does: padding comes after the end of an answer and is cut off."""
    known = (model.generation_config.pad_token_id, tokenizer.pad_token_id, min(stop_ids(model, tokenizer)))
    return next(token for token in known if token is not None)
