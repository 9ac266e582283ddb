"""A question and its pictures as OpenAI's chat API takes them."""

import base64
import io
from typing import TYPE_CHECKING, Any

from moe_eval.chat.reply import Message

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["chat_messages"]


def chat_messages(text: str, images: "list[Image]", system: str | None = None) -> list[Message]:
    """The user turn in OpenAI's form: pictures first, or where the text says `<image>`, if it says so as often as there are some.

    Pictures are PNG, which keeps every pixel, in `data:` URLs. The system's words, if there are some, are a turn before it.
    """
    parts = [{"type": "image_url", "image_url": {"url": _data_url(image)}} for image in images]
    words = text.split("<image>")
    if not parts or len(words) != len(parts) + 1:
        content: list[Any] = [*parts, {"type": "text", "text": text}]
    else:
        told = [{"type": "text", "text": word.strip()} for word in words]
        content = [told[0], *(part for pair in zip(parts, told[1:], strict=True) for part in pair)]
    turn = {"role": "user", "content": [part for part in content if part.get("text") != ""]}
    return [turn] if system is None else [{"role": "system", "content": system}, turn]


def _data_url(image: "Image") -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
