"""Options and arguments that several commands have."""

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "RUNS",
    "JsonOption",
    "ProtocolOption",
    "RunsArgument",
    "TaskFileOption",
    "own_task",
    "runs_or_default",
    "show_life",
]

RUNS = Path("results/runs")

ProtocolOption = Annotated[
    str | None, typer.Option(help="How questions are asked and answers scored. Default: llava, or the only one.")
]
TaskFileOption = Annotated[
    Path | None, typer.Option(metavar="FILE.py", help="A Python file that defines a task of your own as TASK.")
]
RunsArgument = Annotated[
    list[Path] | None, typer.Argument(metavar="[RUN...]", help=f"Run folders, or folders of them. Default: {RUNS}.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def own_task(path: Path | None) -> str | None:
    """Name of the task that the file defines, which is found by that name from now on.

    Raises:
        UserError: for a file that defines none.
    """
    from moe_eval.registry import load_task_file

    return load_task_file(path).name if path else None


def runs_or_default(runs: list[Path] | None) -> list[Path]:
    """The runs that were named, or the folder where runs are written if there is one."""
    return runs or ([RUNS] if RUNS.is_dir() else [])


def show_life(doing: str) -> None:
    """Say on stderr what goes on, before the seconds that the import of torch takes."""
    if "torch" not in sys.modules:
        print(f"{doing} …", file=sys.stderr, flush=True)
