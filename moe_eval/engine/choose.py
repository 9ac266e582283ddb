"""Which engine answers for a model."""

from typing import Literal, get_args

from moe_eval.engine.backend import Backend
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prefix.support import why_not
from moe_eval.errors import UserError, unknown

__all__ = ["ENGINES", "Engine", "choose_backend"]

Engine = Literal["auto", "prefix", "generate"]
ENGINES = get_args(Engine)


def choose_backend(
    source: ModelSource, engine: str = "auto", batch_size: int = 16, routing: bool = False
) -> tuple[Backend, str | None]:
    """The engine that answers, and, where `auto` means `generate`, why.

    The model's configuration is read for it, which downloads the model if it is not here; its weights are not.

    Args:
        batch_size: prompts per call of `generate`; the prefix engine takes what fits into memory.

    Raises:
        UserError: for an engine that does not exist, or that cannot answer for the model.
    """
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    reason = None
    if engine != "generate":
        reason = why_not(source.config, source.generation_config)
        if reason is None:
            from moe_eval.engine.prefix.backend import PrefixBackend  # imports torch, for which nobody should wait here

            return PrefixBackend(source, routing), None
        if engine == "prefix":
            raise UserError(f"--engine prefix: {source.name}: {reason}; use --engine generate")
    return GenerateBackend(source, batch_size, routing), reason
