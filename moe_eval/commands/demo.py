"""`moe-eval demo`: talk with models about a picture, and see the experts at work."""

from typing import Annotated

import typer

from moe_eval.commands.options import show_life
from moe_eval.errors import UserError

__all__ = ["demo"]

MOST = 2
"""Models side by side."""


def demo(
    model: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL...]", help="One or two. Default: moe-llava-nano.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the page.")] = 7860,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    quantize: Annotated[
        str | None, typer.Option(help="8bit or 4bit: the language model's weights; see `moe-eval run`.")
    ] = None,
    device_map: Annotated[str | None, typer.Option(help="Spread a model over all devices: auto, ...")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
) -> None:
    """Talk with one or two models about a picture, see which experts each token takes, and switch experts off.

    Only this machine can open the page.

    Example: moe-eval demo moe-llava-nano llava-nano
    """
    names = model or ["moe-llava-nano"]
    if len(names) > MOST:
        raise UserError(f"demo: {len(names)} models; {MOST} at most stand side by side")
    show_life(f"loading {' and '.join(names)}")
    from moe_eval.demo.serve import serve
    from moe_eval.engine.models import ModelSource

    models = [ModelSource(name, dtype, device, quantize=quantize, device_map=device_map) for name in names]
    for one in models:
        one.check_name()
    serve(models, port)
