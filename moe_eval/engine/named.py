"""From a word on the command line to what answers: a model that is loaded here, one behind a server, or stored answers."""

from typing import Any

from moe_eval.engine.models import ModelSource
from moe_eval.engine.options import option_of, parse_options
from moe_eval.engine.replay import ReplaySource
from moe_eval.engine.server import ServerOptions, ServerSource
from moe_eval.engine.vllm import VllmOptions, VllmSource
from moe_eval.errors import UserError

__all__ = ["Source", "find_source"]

Source = ModelSource | ServerSource | ReplaySource

ONLY_LOADED_HERE = {
    "dtype": "auto",
    "device": "auto",
    "router_noise_seed": None,
    "revision": None,
    "adapter": None,
    "chat_template": None,
    "picture_tokens": None,
    "processor_kwargs": None,
    "pruning": None,
    "quantize": None,
    "device_map": None,
}
"""Options of loading a model, and how they are when nothing is said."""


def find_source(given: str, engine_args: str = "", engine: str = "auto", **loading: Any) -> Source:
    """What a word names; nothing is loaded or asked for it.

    Args:
        given: `openai:NAME@URL`, `replay:FILE`, `vllm:MODEL`, or what `ModelSource` takes.
        engine: `vllm` is as good as `vllm:`.
        engine_args: `name=value,…` of what answers.
        loading: `label`, and how a model is loaded, as `ModelSource` takes it.

    Raises:
        UserError: for a name or an option that is not, or that means nothing for what is named.
    """
    kind = given.partition(":")[0]
    if kind == "vllm" or (engine == "vllm" and kind not in ("openai", "replay")):
        options = parse_options(VllmOptions, engine_args)
        label = loading.pop("label", None) or (given if kind == "vllm" else None)
        return VllmSource(given.removeprefix("vllm:"), label=label, options=options, **loading)
    if kind not in ("openai", "replay"):
        if engine_args:
            raise UserError(f"--engine-args {engine_args}: {given} has none; openai:NAME@URL and vllm:MODEL do")
        return ModelSource(given, **loading)
    for name, usual in ONLY_LOADED_HERE.items():
        if loading.get(name, usual) != usual:
            raise UserError(f"{option_of(name)}: means nothing for {given}, which is not loaded here; leave it out")
    if kind == "openai":
        return ServerSource(given, parse_options(ServerOptions, engine_args), loading.get("label"))
    if engine_args:
        raise UserError(f"--engine-args {engine_args}: {given} has none; openai:NAME@URL and vllm:MODEL do")
    return ReplaySource(given, loading.get("label"))
