"""A model that is in memory already, such as one that is being trained, as something that answers."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from moe_eval.engine.backend import Answer, Backend, ModelInfo, Request
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.parameters import count_parameters
from moe_eval.engine.prefix.support import why_not
from moe_eval.errors import UserError

__all__ = ["InMemoryBackend"]

TAKES_MASKS = ("sdpa", "eager")


class InMemoryBackend:
    """Greedy answers of a loaded model, which is left in the mode (training or evaluation) that it was in.

    Args:
        model: an image-text-to-text model of transformers.
        processor: its processor.
        name: in folders and tables.
        batch_size: prompts per call of `generate`; the prefix engine, which answers where it can run, takes what fits into memory.

    Raises:
        UserError: for a pair that is no model and its processor.
    """

    def __init__(self, model: Any, processor: Any, name: str, batch_size: int = 16):
        if not hasattr(model, "generate") or not hasattr(processor, "apply_chat_template"):
            raise UserError(
                f"(model, processor) is wanted, not ({type(model).__name__}, {type(processor).__name__}): "
                "what AutoModelForImageTextToText and AutoProcessor give"
            )
        self._model, self._processor, self.name, self._batch_size = model, processor, name, batch_size

    def describe(self) -> ModelInfo:
        """Facts from the configuration, and SHA-256 over all parameters as they are now."""
        config = self._model.config
        return ModelInfo(
            name=self.name,
            family=getattr(config, "codebase", None) or config.model_type,
            weights_fingerprint=_fingerprint(self._model),
            backend="prefix" if self._can_share else "generate",
            dtype=str(self._model.dtype).removeprefix("torch."),
            llm=config.get_text_config().model_type,
            parameters=count_parameters(config),
        )

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answers picture by picture, or batch by batch."""
        from moe_eval.engine.prefix.backend import PrefixBackend  # imports torch

        source: Any = _Loaded(self._model, self._processor)
        backend: Backend = PrefixBackend(source) if self._can_share else GenerateBackend(source, self._batch_size)
        was_training = self._model.training
        self._model.eval()
        try:
            yield from backend.generate(requests)
        finally:
            self._model.train(was_training)

    @property
    def _can_share(self) -> bool:
        """Whether the prefix engine answers. Wrappers and attention that takes no mask of its own, such as Flash Attention, are left to `generate`."""
        from transformers import PreTrainedModel

        config = self._model.config
        return (
            isinstance(self._model, PreTrainedModel)
            and getattr(config.get_text_config(), "_attn_implementation", None) in TAKES_MASKS
            and why_not(config, self._model.generation_config) is None
        )


class _Loaded:
    """What backends want of a source, where there is nothing to load."""

    router_noise_seed = None

    def __init__(self, model: Any, processor: Any):
        self._pair = model, processor

    def load(self) -> tuple[Any, Any]:
        return self._pair


def _fingerprint(model: Any) -> str:
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().contiguous().flatten().view(torch.uint8).cpu().numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"
