"""`moe-eval view`: a local page that follows runs as they go."""

from pathlib import Path
from typing import Annotated

import typer

from moe_eval.commands.options import RUNS, TaskFileOption, own_task

__all__ = ["view"]


def view(
    folder: Annotated[Path, typer.Argument(help="Folder of runs, or of one.")] = RUNS,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8765,
    task_file: TaskFileOption = None,
) -> None:
    """Follow runs as they go on a local page: progress, time left, scores so far, newest answers; finished ones open in the report.

    It reads what runs write, and neither locks nor changes anything; only this machine can open the page.

    Example: moe-eval view results/runs --port 8765
    """
    own_task(task_file)
    from moe_eval.view.serve import serve

    serve(folder, port)
