"""`moe-eval merge`: one run of the shards that several processes or machines have made."""

from pathlib import Path
from typing import Annotated

import typer

from moe_eval.commands.options import RUNS, TaskFileOption, own_task
from moe_eval.evaluation import merge
from moe_eval.runs.merging import find_shards
from moe_eval.scoring.summary import headline_line

__all__ = ["merge_"]


def merge_(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of shards, or of runs that have some.")],
    out: Annotated[
        Path, typer.Option(help="Folder of all runs, for shards that do not lie together in their run's folder.")
    ] = RUNS,
    allow_missing: Annotated[bool, typer.Option(help="Score without the questions that have no answer.")] = False,
    task_file: TaskFileOption = None,
) -> None:
    """Merge the shards of runs (`moe-eval run --shard I/N`), and score what they make together.

    Example: moe-eval merge results/runs/llava-1.5-7b/pope
    """
    own_task(task_file)
    for shards in find_shards(runs):
        folder, scores = merge(shards, out, allow_missing)
        model = shards[0].run.model.name
        print(f"{model} {headline_line(scores)}, {len(shards)} shards → {folder}", flush=True)
