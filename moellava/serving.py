"""`moellava serve` and `moellava chat`: transformers' own server and chat, which know our models in this process.

Their options are transformers' (`--help` lists them); a model may also be a name of the zoo.
"""

import inspect
import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from huggingface_hub.utils import httpx
from transformers.cli.chat import Chat
from transformers.cli.serve import Serve

from moellava import zoo
from moellava.convert import ConversionError

__all__ = ["chat", "model_source", "serve"]

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A folder, a name of the zoo, or a hub id.")]
URL = Annotated[str | None, typer.Argument(help="A server to talk to; by default one of our own is started.")]


def serve(arguments: list[str]) -> None:
    """Run transformers' server (OpenAI's API, pictures included) on the command line's `arguments`."""

    def run(force_model: str, **options: Any) -> None:
        """Serve a model with transformers' server: OpenAI's chat completions, pictures included.

        Example: moellava serve moe-llava-nano --port 8000
        """
        model = model_source(force_model)
        url = f"http://{options['host']}:{options['port']}/v1"
        print(f"{url}/chat/completions answers requests for the model {model}", flush=True)
        Serve(force_model=model, **options)

    _command(run, like=Serve, prog_name="moellava serve", arguments=arguments, force_model=(Model, ...))


def chat(arguments: list[str]) -> None:
    """Run transformers' chat in the terminal (text only), on a server of our own if none is named."""

    def run(model_id: str, base_url: str | None, **options: Any) -> None:
        """Talk to a model in the terminal, in text; pictures go to `moellava serve`.

        Example: moellava chat moe-llava-nano
        """
        model = model_source(model_id)
        if base_url is not None:
            Chat(model_id=model, base_url=base_url, **options)
            return
        port = _free_port()
        server = Serve(force_model=model, port=port, log_level="error", non_blocking=True)
        for name in ("uvicorn.error", "uvicorn.access"):  # would write into the conversation
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            url = f"http://localhost:{port}"
            _wait_for(url)
            Chat(model_id=model, base_url=url, **options)
        finally:
            server.kill_server()

    _command(
        run,
        like=Chat,
        prog_name="moellava chat",
        arguments=arguments,
        model_id=(Model, ...),
        base_url=(URL, None),
    )


def model_source(name: str) -> str:
    """What `from_pretrained` loads: a folder as it is, a name of the zoo made ready, a hub id.

    Raises:
        ConversionError: none of them.
    """
    if Path(name).is_dir():
        return name
    if name in zoo.names():
        return str(zoo.resolve(name))
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ConversionError(
            f"{name}: no such folder, no name of the zoo ({', '.join(zoo.names())}) and no hub id (ORGANISATION/NAME)"
        )
    return name


def _command(run: Callable, like: type, prog_name: str, arguments: list[str], **ours: tuple[Any, Any]) -> None:
    """Call `run` with the command line's options of `like`, except for those that we declare ourselves."""
    parameters = []
    for parameter in inspect.signature(like).parameters.values():
        annotation, default = ours.get(parameter.name, (parameter.annotation, parameter.default))
        default = inspect.Parameter.empty if default is ... else default
        parameters.append(parameter.replace(annotation=annotation, default=default))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(run)
    app(args=arguments, prog_name=prog_name, standalone_mode=False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def _wait_for(url: str, seconds: float = 30.0) -> None:
    """Return as soon as the server at `url` answers (OSError: not within that time)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/health")
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise OSError(f"{url}: the server did not answer within {seconds:.0f} seconds")
