"""Drawing tokens so that an answer follows from its request alone, whatever engine draws it and whatever is drawn with it.

The likeliest token after Gumbel noise was added to `logits / temperature` is one drawn from their softmax; the noise is a
function of the request's seed and id, of the place in the answer, and of the token.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from moe_eval.engine.backend import Request

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Draws", "perturbed"]

MOST = 1 << 32
"""More tokens than any vocabulary has: with the place in the answer they make one index."""


def perturbed(logits: "Tensor", request: Request, place: int) -> "Tensor":
    """Logits whose greatest is the token to choose.

    Args:
        logits: [vocabulary].
        place: of the token in the answer, from 0.
    """
    import torch

    from moellava.noise import key_of, uniform_numbers

    if not request.temperature:
        return logits
    index = place * MOST + torch.arange(len(logits), device=logits.device)
    uniform = uniform_numbers(torch.tensor(key_of(request.seed, request.id), device=logits.device), index)
    return logits.float() / request.temperature - (-uniform.log()).log()


class Draws:
    """`perturbed` for `generate`, as one of its logits processors.

    Args:
        requests: of the rows of the batch.
        prompt_tokens: length of the padded prompts.
    """

    def __init__(self, requests: Sequence[Request], prompt_tokens: int):
        self._requests, self._prompt_tokens = requests, prompt_tokens

    def __call__(self, input_ids: "Tensor", scores: "Tensor") -> "Tensor":
        """From and to [rows, vocabulary]."""
        import torch

        place = input_ids.shape[1] - self._prompt_tokens
        return torch.stack(
            [perturbed(row, request, place) for row, request in zip(scores, self._requests, strict=True)]
        )
