"""`moe-eval rank`: several models on the same tasks, best first, with the ranks that the data allow."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from moe_eval.commands.options import JsonOption, TaskFileOption, own_task
from moe_eval.comparison.ranking import rank_models
from moe_eval.comparison.ranking_text import as_data, as_markdown
from moe_eval.errors import UserError, unknown
from moe_eval.figures import critical_difference
from moe_eval.figures.style import FORMATS, save
from moe_eval.files.atomic import write_atomically
from moe_eval.runs.stored_run import StoredRun, find_stored_runs

__all__ = ["rank"]


def rank(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS...", help="A folder per model, with one run per task.")],
    weights: Annotated[
        str, typer.Option(metavar="TASK=NUMBER,...", help="What tasks weigh in the average. Default: all the same.")
    ] = "",
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw averages and who cannot be told apart: .svg, .pdf, .png.")
    ] = None,
    json_wanted: JsonOption = False,
    task_file: TaskFileOption = None,
) -> None:
    """Rank models over tasks: all pairs compared, one correction, and the ranks that each may have.

    Example: moe-eval rank results/baselines/moe-llava-nano results/baselines/llava-nano --figure ranks.svg
    """
    own_task(task_file)
    if figure and figure.suffix[1:] not in FORMATS:
        raise unknown("--figure: format", figure.suffix[1:], FORMATS)
    ranking = rank_models(_by_model(runs), weights)
    print(json.dumps(as_data(ranking), indent=1) if json_wanted else as_markdown(ranking), end="\n" * json_wanted)
    if figure:
        averages = [(one.model, one.average) for one in ranking.models]
        told_apart = {(pair.first, pair.second) for pair in ranking.pairs if pair.told_apart}
        write_atomically(figure, save(critical_difference.draw(averages, told_apart), figure.suffix[1:]))


def _by_model(folders: Sequence[Path]) -> dict[str, dict[str, StoredRun]]:
    """By the model's name, or by folder where several have the same."""
    found = [(folder, find_stored_runs(folder)) for folder in folders]
    names = [next(iter(runs.values())).run.model.name for _, runs in found]
    models = {
        name if names.count(name) == 1 else str(folder): runs for name, (folder, runs) in zip(names, found, strict=True)
    }
    if len(models) < len(folders):
        raise UserError("a folder is named twice; name each model once")
    return models
