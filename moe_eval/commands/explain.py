"""`moe-eval explain`: why a run's number is not the published one."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from moe_eval.commands.options import TaskFileOption, own_task
from moe_eval.errors import UserError, unknown
from moe_eval.explain.causes import find_causes
from moe_eval.explain.effects import read_effects
from moe_eval.explain.evidence import Evidence, gather
from moe_eval.explain.render import (
    causes_grid,
    claims_grid,
    findings_grid,
    headline_of,
    remainder,
    to_json,
    to_markdown,
)
from moe_eval.table.formats import below, to_rich
from moe_eval.table.measured import find_runs
from moe_eval.table.published import read_published

__all__ = ["explain", "explain_run"]


def explain(
    run: Annotated[Path, typer.Argument(help="The folder of one run.")],
    against: Annotated[
        str | None,
        typer.Option(help="The published model to hold it against, such as LLaVA-1.5-7B. Default: the one it names."),
    ] = None,
    format_name: Annotated[
        str | None, typer.Option("--format", help="md or json. Default: what suits the terminal.")
    ] = None,
    task_file: TaskFileOption = None,
) -> None:
    """Say why a number is not the published one: cause by cause, with sizes where they can be computed.

    Example: moe-eval explain results/runs/llava-1.5-13b/pope
    """
    own_task(task_file)
    explain_run(run, against, format_name)


FORMATS = {"md": to_markdown, "json": to_json}


def explain_run(folder: Path, against: str | None, format_name: str | None) -> None:
    """Print the explanation.

    Args:
        against: the published model to hold the run against; None: the one that it names.
        format_name: of `FORMATS`; None: tables in a terminal, Markdown elsewhere.

    Raises:
        UserError: for a folder that is not one finished run, a model that nobody has published numbers of, an unknown
            format.
    """
    if format_name is not None and format_name not in FORMATS:
        raise unknown("format", format_name, FORMATS)
    found = find_runs([folder])
    if len(found) > 1:
        raise UserError(f"{folder} holds {len(found)} runs: explain one of them, such as {found[0]}")
    numbers = read_published()
    models = {number.model for number in numbers}
    if against is not None and against not in models:
        raise unknown("published model", against, models)
    evidence = gather(found[0], numbers, read_effects(), against)
    if format_name is None and sys.stdout.isatty():
        _show(evidence)
    else:
        print(FORMATS[format_name or "md"](evidence), end="\n" if format_name == "json" else "")


def _show(evidence: Evidence) -> None:
    from rich.console import Console

    console, causes, claims = Console(), find_causes(evidence), claims_grid(evidence)
    console.print(
        headline_of(evidence), remainder(evidence, causes)["text"], "", sep="\n", markup=False, highlight=False
    )
    for grid in (causes_grid(causes), findings_grid(causes), None if evidence.generated else claims):
        if grid:
            console.print(to_rich(grid, wrap=True))
            print(below(grid), end="\n\n")
