"""Which engine answers for a model."""

from typing import Literal, get_args

from moe_eval.engine.backend import Backend
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.named import Source
from moe_eval.engine.prefix.support import why_not
from moe_eval.engine.replay import ReplaySource
from moe_eval.engine.server import ServerSource
from moe_eval.engine.vllm import VllmSource
from moe_eval.errors import UserError, unknown

__all__ = ["ENGINES", "Engine", "choose_backend"]

Engine = Literal["auto", "prefix", "generate"]
ENGINES = get_args(Engine)


def choose_backend(
    source: Source, engine: str = "auto", batch_size: int = 16, routing: bool = False
) -> tuple[Backend, str | None]:
    """The engine that answers, and, where `auto` means `generate`, why; of what is not loaded here there is one.

    The model's configuration is read for it, which downloads the model if it is not here; its weights are not.

    Args:
        batch_size: prompts per call of `generate`; the prefix engine takes what fits into memory.

    Raises:
        UserError: for an engine that does not exist, or that cannot answer for the model.
    """
    if isinstance(source, (ServerSource, ReplaySource)):
        if engine != "auto":
            raise UserError(f"--engine {engine}: {source.name} is not loaded here; leave --engine out")
        if routing:
            raise UserError(f"--routing: nobody tells how tokens of {source.name} are routed; leave it out")
        return source.backend(), None
    if isinstance(source, VllmSource):
        if engine not in ("auto", "vllm"):
            raise UserError(f"--engine {engine}: {source.title} names an engine already; leave one of them out")
        if routing:
            source.check_sparse("--routing")
        return source.backend(), None
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    source.check_pruning()
    reason = None
    if engine != "generate":
        reason = why_not(source.config, source.generation_config)
        if routing and reason is None and not source.has_our_routers:
            reason = "the routing of other models than MoE-LLaVA is recorded there only"
        if reason is None:
            from moe_eval.engine.prefix.backend import PrefixBackend  # imports torch, for which nobody should wait here

            return PrefixBackend(source, routing), None
        if engine == "prefix":
            raise UserError(f"--engine prefix: {source.name}: {reason}; use --engine generate")
    return GenerateBackend(source, batch_size, routing), reason
