"""Questions as a model reads them: in its chat template, as token ids, with their pictures."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from moe_eval.chat.thoughts import SWITCHES, ends_in_thoughts
from moe_eval.engine.backend import Request, Unanswered
from moe_eval.errors import UserError, one_line

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Batch", "TooLongError", "check_length", "encode", "picture_options", "render", "thinks_on"]

PLACE = "<image>"
"""Where the text of a question says that a picture belongs."""

Batch = list[tuple[Request, "list[Image]"]]


class TooLongError(Exception):
    """Prompts for which a model has too few positions.

    Args:
        unanswered: one for each of them.
    """

    def __init__(self, unanswered: Sequence[Unanswered]):
        super().__init__(unanswered)
        self.unanswered = unanswered


def check_length(config: Any, lengths: Mapping[str, int]) -> None:
    """Whether a model has positions for prompts of so many tokens, by request id.

    Raises:
        TooLongError: with those that are longer. Answers count for nothing here: they end early as a rule, and `max_new_tokens` is a limit.
    """
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    if not isinstance(positions, int):
        return
    long = [
        Unanswered(name, f"its prompt has {length:,} tokens, and the model positions for {positions:,}", failed=True)
        for name, length in lengths.items()
        if length > positions
    ]
    if long:
        raise TooLongError(long)


def encode(processor: Any, batch: Batch, beginnings: Sequence[str] = ()) -> Any:
    """Model inputs of a batch: rendered by the chat template, pictures first, padded on the left.

    Pictures stand where the text says `<image>`, if it says so as often as there are pictures; of a single one it must
    be the beginning or the end. Otherwise a picture token in a text is only quoted, and is written `< image>`.

    Args:
        beginnings: what each answer begins with; none: the model starts it.

    Raises:
        UserError: for prompts that the model's processor refuses.
    """
    prompts = [render(processor, request, len(images)) for request, images in batch]
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


def render(processor: Any, request: Request, images: int, answer: str | None = None) -> str:
    """A question as the model reads it: in its chat template, pictures first, unless the text says where they are.

    Args:
        images: how many pictures there are.
        answer: what the model has said to it; None: nothing yet.

    Raises:
        UserError: for a template that leaves the system's words out, that cannot do what the request says of thinking.
    """
    turns: list[dict[str, Any]] = [{"role": "user", "content": _content(processor, request.text, images)}]
    if answer is not None:
        turns.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    switches = _switches(processor, request)
    if request.system is None:
        rendered = _rendered(processor, turns, answer is None, switches)
    else:
        rendered = _below_system(processor, request.system, turns, answer is None, switches)
    if answer is None:
        _check_thinking(request, rendered, switches)
    return rendered


def thinks_on(processor: Any, request: Request) -> bool:
    """Whether the answer to a request goes on with thoughts that its prompt begins."""
    return bool(request.thinking) and ends_in_thoughts(render(processor, request, 0))


def picture_options(processor: Any, pad_images: bool) -> dict[str, bool]:
    """Only LLaVA's way of preparing pictures knows padding to a square; other models have their own."""
    from moellava import MoELlavaProcessor

    return {"do_pad": pad_images} if isinstance(processor, MoELlavaProcessor) else {}


def _rendered(processor: Any, turns: list[dict[str, Any]], open_end: bool, switches: dict[str, bool]) -> str:
    return str(processor.apply_chat_template(turns, add_generation_prompt=open_end, tokenize=False, **switches))


def _below_system(
    processor: Any, system: str, turns: list[dict[str, Any]], open_end: bool, switches: dict[str, bool]
) -> str:
    """Templates take the system's words as a list of parts, or as text alone."""
    reason = "leaves it out"
    for content in ([{"type": "text", "text": system}], system):
        try:
            rendered = _rendered(processor, [{"role": "system", "content": content}, *turns], open_end, switches)
        except Exception as error:  # a template is a program: whatever it raises
            reason = f"refuses it ({one_line(error)})"
            continue
        if system.strip() in rendered and "{'type': " not in rendered:
            return rendered
    raise UserError(
        f"--system: the model's chat template {reason}; leave it out, or give another with --chat-template FILE"
    )


def _switches(processor: Any, request: Request) -> dict[str, bool]:
    """What the chat template is told of thinking, by the names that it uses."""
    template = getattr(processor, "chat_template", None) or ""
    text = " ".join(template.values()) if isinstance(template, dict) else template
    return {name: bool(request.thinking) for name in SWITCHES if re.search(rf"{{[%{{][^}}]*\b{name}\b", text)}


def _check_thinking(request: Request, prompt: str, switches: dict[str, bool]) -> None:
    begun = ends_in_thoughts(prompt)
    if request.thinking and not (switches or begun):
        raise UserError(
            f"--thinking: the model's chat template knows no {' or '.join(SWITCHES)}, and begins no thoughts; leave it out"
        )
    if begun and not request.thinking:
        raise UserError(
            "the model's chat template makes it think before every answer, for which the benchmark's length limit is too small: "
            "say --thinking"
        )


def _content(processor: Any, text: str, images: int) -> list[dict[str, str]]:
    if getattr(processor, "image_token", None) == PLACE and _says_where(text, images):
        return [{"type": "text", "text": text}]
    for attribute in ("image_token", "video_token", "audio_token"):  # what a question quotes is no picture
        token = getattr(processor, attribute, None)
        if isinstance(token, str) and len(token) > 1:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return [{"type": "image"}] * images + [{"type": "text", "text": text}]


def _says_where(text: str, images: int) -> bool:
    """Whether each `<image>` in a text is the place of a picture: one of several, or at the text's beginning or end."""
    return text.count(PLACE) == images and (images > 1 or text.startswith(PLACE) or text.endswith(PLACE))
