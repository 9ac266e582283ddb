"""The command line of the model library: `moellava convert SOURCE OUT`, `moellava serve MODEL`, `moellava chat MODEL`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

__all__ = ["main"]

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def _root() -> None:
    """MoE-LLaVA on today's transformers."""


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="Checkpoint folder in the upstream format, or a hub id[@revision].")],
    out: Annotated[Path, typer.Argument(help="Folder to create.")],
    base: Annotated[Path | None, typer.Option(help="Language model folder, for a stage-1 checkpoint.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something goes wrong.")] = False,
) -> None:
    """Convert a published checkpoint: MoE-LLaVA, LLaVA-1.5, Qwen-VL(-Chat), TinyGPT-V, LLaVA-Phi.

    Example: moellava convert LanguageBind/MoE-LLaVA-Phi2-2.7B-4e checkpoints/moe-llava-2.7bx4
    """
    from transformers.utils import logging

    from moellava.convert import ConversionError
    from moellava.convert import convert as convert_folder
    from moellava.zoo import fetch_source

    logging.set_verbosity_error()  # its warnings are about files that we check ourselves
    try:
        repository, _, revision = source.partition("@")
        folder = Path(source) if Path(source).is_dir() else _fetch(repository, revision, fetch_source)
        convert_folder(folder, out, base=base, progress=sys.stderr.isatty())
    except (ConversionError, OSError) as error:
        if debug:
            raise
        print(f"moellava convert: {' '.join(str(error).split())}", file=sys.stderr)
        raise typer.Exit(2) from None
    print(f"{out}: converted; load it with AutoModelForImageTextToText.from_pretrained, or moe-eval run {out}")


PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


@app.command(context_settings=PASSED_ON)
def serve(context: typer.Context) -> None:
    """Serve a model with transformers' server (OpenAI's API): moellava serve MODEL [--port …]."""
    _pass_on("serve", context.args)


@app.command(context_settings=PASSED_ON)
def chat(context: typer.Context) -> None:
    """Talk to a model in the terminal: moellava chat MODEL [URL]."""
    _pass_on("chat", context.args)


def _pass_on(command: str, arguments: list[str]) -> None:
    """Call transformers' command; what it says of a model that it cannot load becomes one line."""
    from moellava import serving
    from moellava.convert import ConversionError

    try:
        getattr(serving, command)(arguments)
    except (TyperException, ConversionError, ImportError, OSError, ValueError) as error:
        text = error.format_message() if isinstance(error, TyperException) else str(error)
        print(f"moellava {command}: {' '.join(text.split())}", file=sys.stderr)
        raise typer.Exit(2) from None


def _fetch(repository: str, revision: str, fetch_source) -> Path:
    from moellava.convert import ConversionError

    if repository.count("/") != 1 or repository.startswith((".", "/", "~")):
        raise ConversionError(f"{repository}: no such folder, and not a hub id (ORGANISATION/NAME)")
    return fetch_source(repository, revision or None)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `moellava`: exit code 0, or 2 after one line on stderr."""
    try:
        code = app(arguments, prog_name="moellava", standalone_mode=False)
    except TyperException as error:
        print(f"moellava: {' '.join(error.format_message().split())}", file=sys.stderr)
        code = 2
    sys.exit(code or 0)
