"""`moe-eval compare`: two runs, or two folders of runs, beside each other."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from moe_eval.commands.options import TaskFileOption, own_task
from moe_eval.comparison.pairing import compare_tasks
from moe_eval.comparison.text import as_data, as_markdown
from moe_eval.errors import UserError, unknown
from moe_eval.files.atomic import write_atomically
from moe_eval.runs.stored_run import find_stored_runs

__all__ = ["compare", "show_comparison"]


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run folder, or a folder with one run per task.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="What it is compared with; differences are B − A.")],
    common: Annotated[
        bool, typer.Option(help="Compare the samples that both have, though data, prompts or protocols differ.")
    ] = False,
    flips: Annotated[int, typer.Option(min=0, help="Answers to show that B lost, and as many that it won.")] = 5,
    format_name: Annotated[str | None, typer.Option("--format", help="md or json. Default: md.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of the terminal.")] = None,
    task_file: TaskFileOption = None,
) -> None:
    """Compare two runs sample by sample: the difference with its interval, whether it may be chance, what flipped.

    Example: moe-eval compare results/runs/llava-nano results/runs/moe-llava-nano
    """
    own_task(task_file)
    show_comparison(first, second, flips, common, format_name, out)


FORMATS = ("md", "json")


def show_comparison(
    first: Path, second: Path, flips: int, common: bool, format_name: str | None, out: Path | None
) -> None:
    """Print the comparison, or write it to `out`, whose suffix then says the format if nothing else does.

    Raises:
        UserError: for folders without runs, and runs that cannot be compared.
    """
    format_name = format_name or ("json" if out and out.suffix == ".json" else "md")
    if format_name not in FORMATS:
        raise unknown("--format", format_name, FORMATS)
    one, other = (find_stored_runs(folder, _tell_left_out) for folder in (first, second))
    comparisons, alone = compare_tasks(one, other, common)
    if format_name == "json":
        text = json.dumps(as_data(comparisons, alone, flips), indent=1) + "\n"
    else:
        text = as_markdown(comparisons, alone, flips)
    if out:
        write_atomically(out, text)
    else:
        print(text, end="")


def _tell_left_out(error: UserError) -> None:
    print(f"left out: {error}", file=sys.stderr)
