"""`moe-eval check`: the regression gate for CI."""

from pathlib import Path
from typing import Annotated

import typer

from moe_eval.commands.options import JsonOption, TaskFileOption, own_task
from moe_eval.comparison.baselines import find_baseline
from moe_eval.comparison.gate import check_runs, overall
from moe_eval.comparison.gate_text import as_json, as_junit, as_log, as_summary
from moe_eval.files.atomic import write_atomically
from moe_eval.runs.stored_run import find_stored_runs

__all__ = ["check", "check_run"]


def check(
    run: Annotated[Path, typer.Argument(help="A run folder, or a folder with one run per task.")],
    against: Annotated[
        Path,
        typer.Option(
            help="The baseline: the same, plain or gzipped; or the name of one that comes along, such as moe-llava-nano."
        ),
    ],
    tolerance: Annotated[
        float, typer.Option(min=0, help="Accepted drop, in percent of the headline's maximum (points of a percentage).")
    ] = 0.5,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a Markdown summary.")] = None,
    json_wanted: JsonOption = False,
    task_file: TaskFileOption = None,
) -> None:
    """Say whether a run is worse than a baseline: exit code 0 is fine, 1 worse, 2 cannot tell.

    Worse: a headline dropped beyond the tolerance, or significantly. Fine: a drop beyond the tolerance is excluded by the 95 %
    interval of the difference. Cannot tell: too few samples for that, or runs that cannot be compared.

    Example: moe-eval check results/runs/moe-llava-nano --against results/baselines/moe-llava-nano
    """
    own_task(task_file)
    raise typer.Exit(check_run(run, against, tolerance, junit, markdown, json_wanted))


def check_run(
    run: Path, against: Path, tolerance: float, junit: Path | None, markdown: Path | None, json_wanted: bool = False
) -> int:
    """Print the verdicts, write what is asked for, and give the exit code.

    Args:
        against: a folder, or the name of a baseline that comes with the library.

    Raises:
        UserError: for an unknown baseline, folders without runs and files that are broken.
    """
    verdicts = check_runs(find_stored_runs(run), find_stored_runs(find_baseline(against)), tolerance)
    print(as_json(verdicts) if json_wanted else as_log(verdicts), end="")
    if junit:
        write_atomically(junit, as_junit(verdicts))
    if markdown:
        write_atomically(markdown, as_summary(verdicts))
    return int(overall(verdicts))
