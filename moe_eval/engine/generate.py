"""The plain backend: batches of prompts through `model.generate`, for any image-text-to-text model of transformers."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from moe_eval.engine.backend import Answer, Request, Response, Routing, TokenPath, Unanswered
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prefetch import open_images
from moe_eval.engine.sourced import SourcedBackend
from moe_eval.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["GenerateBackend", "encode", "picture_options", "plain_routing", "render", "response", "stop_ids"]

Batch = list[tuple[Request, "list[Image]"]]


class GenerateBackend(SourcedBackend):
    """Greedy answers in left-padded batches.

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

    def _answer(self, batch: Batch) -> list[Response]:
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

    @cached_property
    def _recorder(self) -> Any:
        from moellava.routing import RoutingRecorder

        return RoutingRecorder(self.loaded[0])


def _fit_together(one: Request, other: Request) -> bool:
    return (one.max_new_tokens, one.pad_images) == (other.max_new_tokens, other.pad_images)


def _answer(model: Any, processor: Any, batch: Batch) -> list[Response]:
    import torch

    requests = [request for request, _ in batch]
    inputs = encode(processor, batch).to(model.device, dtype=model.dtype)
    tokenizer = processor.tokenizer
    try:
        with torch.inference_mode():
            sequences = model.generate(
                **inputs,
                max_new_tokens=requests[0].max_new_tokens,
                do_sample=False,
                num_beams=1,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=_pad_token_id(model, tokenizer),
            )
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"{model.device} has too little memory for {len(batch)} prompts at once; what was answered is kept: "
            "start again with a smaller --batch-size"
        ) from error
    stops = stop_ids(model, tokenizer)
    answers = sequences[:, inputs["input_ids"].shape[1] :].tolist()  # [batch, new tokens]
    return [response(request.id, ids, stops, tokenizer) for request, ids in zip(requests, answers, strict=True)]


def encode(processor: Any, batch: Batch, beginnings: Sequence[str] = ()) -> Any:
    """Model inputs of a batch: rendered by the chat template, pictures first, padded on the left.

    Pictures stand where the text says `<image>`, if it says so as often as there are pictures.

    Args:
        beginnings: what each answer begins with; none: the model starts it.

    Raises:
        UserError: for prompts that the model's processor refuses.
    """
    prompts = [render(processor, request.text, len(images)) for request, images in batch]
    if beginnings:
        prompts = [prompt + beginning for prompt, beginning in zip(prompts, beginnings, strict=True)]
    pictures = [images for _, images in batch]
    try:
        return processor(
            text=prompts,
            images=pictures if any(pictures) else None,
            padding=True,
            padding_side="left",
            return_tensors="pt",
            **picture_options(processor, batch[0][0].pad_images),
        )
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise UserError(
            f"{type(processor).__name__} cannot prepare {batch[0][0].id} (a batch of {len(batch)}, with "
            f"{sum(map(len, pictures))} pictures): {' '.join(str(error).split())}"
        ) from error


def render(processor: Any, text: str, images: int) -> str:
    """A question as the model reads it: in its chat template, pictures first, unless the text says where they are."""
    return str(
        processor.apply_chat_template(
            [{"role": "user", "content": _content(processor, text, images)}], add_generation_prompt=True, tokenize=False
        )
    )


def picture_options(processor: Any, pad_images: bool) -> dict[str, bool]:
    """Only LLaVA's way of preparing pictures knows padding to a square; other models have their own."""
    from moellava import MoELlavaProcessor

    return {"do_pad": pad_images} if isinstance(processor, MoELlavaProcessor) else {}


def _content(processor: Any, text: str, images: int) -> list[dict[str, str]]:
    token = getattr(processor, "image_token", None)
    placed = token == "<image>" and text.count(token) == images
    return [{"type": "image"}] * (0 if placed else images) + [{"type": "text", "text": text}]


def response(request_id: str, ids: list[int], stops: Set[int], tokenizer: Any) -> Response:
    end = next((position for position, token in enumerate(ids) if token in stops), None)
    kept = ids if end is None else ids[: end + 1]
    return Response(
        id=request_id,
        text=tokenizer.decode(kept, skip_special_tokens=True).strip(),
        tokens=len(kept),
        finish_reason="length" if end is None else "stop",
    )


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
    eos = model.generation_config.eos_token_id
    eos = tokenizer.eos_token_id if eos is None else eos
    return set(eos) if isinstance(eos, (list, tuple)) else {eos}


def _pad_token_id(model: Any, tokenizer: Any) -> int:
    """Any id does: padding comes after the end of an answer and is cut off."""
    known = (model.generation_config.pad_token_id, tokenizer.pad_token_id, min(stop_ids(model, tokenizer)))
    return next(token for token in known if token is not None)
