"""Given answers instead of generated ones: their tokens, and the response that their log-probabilities make.

What stands between a prompt and its answer, such as the blank behind "ASSISTANT:", is the chat template's business: a
continuation is what the template writes for an answer of these words.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from moe_eval.engine.backend import Request, Response
from moe_eval.engine.prompting import check_length, encode, render
from moe_eval.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

__all__ = ["Tokens", "continuation_ids", "log_probability", "most_likely", "plain_likelihood"]

Tokens = tuple[int, ...]


def continuation_ids(processor: Any, request: Request) -> dict[str, Tokens]:
    """Token ids of each of a request's continuations, as they follow on the prompt; without the end of the answer."""
    prompt = render(processor, request, 0)
    before = _ids(processor, prompt)
    found = {}
    for continuation in request.continuations:
        tail = _tail(processor, request, continuation, prompt)
        both = _ids(processor, prompt + tail)
        # A tokenizer may merge over the border; then the words are taken on their own.
        own = both[len(before) :] if both[: len(before)] == before else _ids(processor, tail, add_special_tokens=False)
        found[continuation] = tuple(own)
    return found


def most_likely(request: Request, log_probabilities: Mapping[str, float]) -> Response:
    """The response to a request with continuations: the most likely one, the first of equals.

    Args:
        log_probabilities: by continuation, in any order.
    """
    ordered = {continuation: log_probabilities[continuation] for continuation in request.continuations}
    return Response(
        request.id, max(ordered, key=ordered.__getitem__), tokens=0, finish_reason="stop", log_probabilities=ordered
    )


def log_probability(logits: "Tensor", ids: Tokens) -> float:
    """Of a continuation.

    Args:
        logits: [tokens, vocabulary], whatever the dtype: those that each of its tokens is predicted from.
        ids: [tokens].
    """
    log_probabilities = logits.float().log_softmax(-1)
    return sum(log_probabilities[place, token].item() for place, token in enumerate(ids))


def plain_likelihood(model: Any, processor: Any, request: Request, images: "list[Image]") -> Response:
    """One unpadded forward pass for all continuations that differ in their last token only: the reference."""
    import torch

    if getattr(model.config.get_text_config(), "is_encoder_decoder", False):
        raise UserError(f"{request.id}: the likelihood of given answers is not computed for a model with an encoder")
    inputs = encode(processor, [(request, images)]).to(model.device, dtype=model.dtype)
    continuations = continuation_ids(processor, request)
    longest = inputs["input_ids"].shape[1] + max(map(len, continuations.values()))
    check_length(model.config, {request.id: longest})
    found: dict[str, float] = {}
    for stem in {ids[:-1] for ids in continuations.values()}:
        with torch.no_grad():
            logits = model(**_continued(inputs, stem)).logits[0, -1 - len(stem) :]  # [stem + 1, vocabulary]
        found |= {words: log_probability(logits, ids) for words, ids in continuations.items() if ids[:-1] == stem}
    return most_likely(request, found)


def _continued(inputs: Mapping[str, Any], ids: Tokens) -> dict[str, Any]:
    """Inputs of one prompt with more text behind it, which sees the pictures that the last token sees; what else there is
    per token is 0 for text."""
    import torch

    own = inputs["input_ids"]
    more = {"input_ids": own.new_tensor([ids]), "attention_mask": own.new_ones(1, len(ids))}
    text = own.new_zeros(1, len(ids))
    found = {}
    for name, value in inputs.items():
        if value.shape == own.shape:
            value = torch.cat([value, more.get(name, text)], dim=1)
        elif value.shape[:2] == own.shape and name.endswith("attention_mask"):  # [1, tokens, pictures, …]
            value = torch.cat([value, *[value[:, -1:]] * len(ids)], dim=1)
        found[name] = value
    return found


def _tail(processor: Any, request: Request, answer: str, prompt: str) -> str:
    """What follows on the prompt, up to the last letter of the answer."""
    rendered = render(processor, request, 0, answer)
    if not rendered.startswith(prompt) or answer not in rendered[len(prompt) :]:
        return answer  # a template that writes a prompt otherwise once there is an answer
    return rendered[len(prompt) : rendered.index(answer, len(prompt)) + len(answer)]


def _ids(processor: Any, text: str, **options: Any) -> list[int]:
    ids: list[int] = processor.tokenizer(text, **options)["input_ids"]
    return ids
