"""Questions as a model reads them: in its chat template, as token ids, with their pictures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from moe_eval.engine.backend import Request
from moe_eval.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Batch", "encode", "picture_options", "render"]

PLACE = "<image>"
"""Where the text of a question says that a picture belongs."""

Batch = list[tuple[Request, "list[Image]"]]


def encode(processor: Any, batch: Batch, beginnings: Sequence[str] = ()) -> Any:
    """Model inputs of a batch: rendered by the chat template, pictures first, padded on the left.

    Pictures stand where the text says `<image>`, if it says so as often as there are pictures; of a single one it must
    be the beginning or the end. Otherwise a picture token in a text is only quoted, and is written `< image>`.

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
