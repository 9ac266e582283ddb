"""`moe-eval report`: one HTML file to look around in."""

from pathlib import Path
from typing import Annotated

import typer

from moe_eval.commands.options import RunsArgument, TaskFileOption, own_task, runs_or_default
from moe_eval.report.write import write_report

__all__ = ["report"]


def report(
    runs: RunsArgument = None,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("results/report.html"),
    limit_images: Annotated[
        int, typer.Option(min=0, help="Pictures to take in, per set of questions; later ones are only named.")
    ] = 1000,
    thumbnail: Annotated[int, typer.Option(min=16, max=1024, help="Longest side of a picture in pixels.")] = 160,
    task_file: TaskFileOption = None,
) -> None:
    """Write one HTML file to look around in: numbers, tables, figures, and every sample with all answers.

    It needs no network and no server.

    Example: moe-eval report results/runs --out results/report.html
    """
    own_task(task_file)
    print(write_report(runs_or_default(runs), out, limit_images, thumbnail))
