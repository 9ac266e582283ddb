"""Which of the compared systems a checkpoint folder holds, if any."""

from collections.abc import Callable
from pathlib import Path

from moellava.peers import llava_phi
from moellava.peers.qwen_vl import convert as qwen_vl
from moellava.peers.tinygpt_v import convert as tinygpt_v

__all__ = ["converter_of"]

FORMATS = (qwen_vl, tinygpt_v, llava_phi)
"""Modules with `is_source(folder)` and `convert(source, out, progress=…)`."""


def converter_of(folder: Path) -> Callable[..., Path] | None:
    """The function that converts the folder; None if it is in none of these systems' formats."""
    return next((module.convert for module in FORMATS if module.is_source(folder)), None)
