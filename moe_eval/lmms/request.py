"""What lmms-eval's tasks ask of a model, read as our backends can do it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from moe_eval.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["is_greedy", "max_new_tokens", "pictures_only"]

DEFAULT_MAX_NEW_TOKENS = 1024
"""What lmms-eval's own LLaVA takes where a task sets no limit."""


def max_new_tokens(options: Mapping[str, Any]) -> int:
    """Length limit of an answer, from a task's `generation_kwargs`."""
    return int(options.get("max_new_tokens") or DEFAULT_MAX_NEW_TOKENS)


def is_greedy(options: Mapping[str, Any]) -> bool:
    """Whether a task's `generation_kwargs` ask for the likeliest token each time, as lmms-eval's LLaVA reads them.

    The temperature decides; `do_sample` is ignored there and here.
    """
    return not float(options.get("temperature") or 0) and int(options.get("num_beams") or 1) == 1


def pictures_only(visuals: Any, where: str) -> "list[Image]":
    """What `doc_to_visual` gave, which may be None, if it is pictures.

    Raises:
        UserError: for videos and sounds.
    """
    from PIL.Image import Image

    for visual in visuals or ():
        if not isinstance(visual, Image):
            raise UserError(f"{where}: shows a {type(visual).__name__}, not a picture; our models see pictures only")
    return list(visuals or ())
