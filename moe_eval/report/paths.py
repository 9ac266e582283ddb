"""Which experts the tokens of a sample went through, where the run recorded it (`moe-eval run … --routing`)."""

from pathlib import Path
from typing import Any

__all__ = ["read_paths"]


def read_paths(folder: Path) -> dict[str, Any]:
    """First choices of the sampled tokens by sample id, as the page shows them; empty where nothing was recorded.

    Each is `layers`, the indices of the sparse layers, and `tokens`, a [kind, text, experts] per token, where kind is
    `image`, `prompt` or `answer`.

    Raises:
        UserError: when the file is damaged.
    """
    from moe_eval.runs.routing import read_routing, read_sample_routing

    if read_routing(folder) is None:
        return {}
    return {
        sample.id: {
            "layers": list(sample.routing.layers),
            "tokens": [
                [_kind(path.modality, path.position, sample.routing.prompt_tokens), path.token, list(path.experts)]
                for path in sample.routing.paths
            ],
        }
        for sample in read_sample_routing(folder)
    }


def _kind(modality: str, position: int, prompt_tokens: int) -> str:
    return "answer" if position >= prompt_tokens else "prompt" if modality == "text" else "image"
