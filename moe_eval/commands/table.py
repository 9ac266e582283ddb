"""`moe-eval table`: run folders and published numbers in, a table out."""

import sys
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Annotated, get_args

import typer

from moe_eval.commands.options import JsonOption, RunsArgument, runs_or_default
from moe_eval.errors import UserError, unknown
from moe_eval.files.atomic import write_atomically
from moe_eval.runs.records import RunRecord, read_record
from moe_eval.table.build import Published, Wanted, build_table
from moe_eval.table.formats import FORMATS, below, fold, render
from moe_eval.table.layouts import MAIN
from moe_eval.table.measured import find_runs
from moe_eval.table.published import read_published

__all__ = ["show_table", "table"]


def table(
    runs: RunsArgument = None,
    layout: Annotated[
        str | None,
        typer.Option(
            help="main (nine benchmarks), pope, headlines (of every task), params, reproduction, protocols, ablation. "
            "Default: pope if all runs are of POPE, headlines if none is of the nine, else main."
        ),
    ] = None,
    format_name: Annotated[
        str | None, typer.Option("--format", help="md, latex, csv, html or json. Default: what suits the terminal.")
    ] = None,
    published: Annotated[
        str | None,
        typer.Option(
            help="Published rows: all, paper (those of MoE-LLaVA's tables), own (the measured models'), none. "
            "Default: all, or none where no run is on the data that they are about."
        ),
    ] = None,
    intervals: Annotated[bool, typer.Option(help="Show the 95 % intervals of measured numbers.")] = True,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of the terminal.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Tabulate runs beside published numbers.

    Example: moe-eval table results/runs --layout main --format latex --published paper
    """
    if as_json and format_name not in (None, "json"):
        raise UserError(f"--json and --format {format_name}: say one of them")
    format_name = "json" if as_json else format_name
    show_table(runs_or_default(runs), layout, format_name, published, intervals, out)


def show_table(
    runs: Sequence[Path],
    layout: str | None,
    format_name: str | None,
    published: str | None,
    intervals: bool,
    out: Path | None,
) -> None:
    """Print the table, or write it to `out`, whose suffix then says the format if nothing else does.

    Args:
        layout: a name of `TABLES`; None: `pope` where all runs are of POPE, `headlines` where `main` has a column for
            none of them, else `main`.
        published: which published rows; None: all, but none where no run can be compared with them.

    Raises:
        UserError: for unknown names, for folders without runs, for a table without rows.
    """
    if published not in (None, *get_args(Published)):
        raise unknown("--published", str(published), get_args(Published))
    folders = find_runs(runs)
    records = [read_record(RunRecord, folder / "run.json") for folder in folders]
    comparable = not records or any(record.data.official for record in records)
    wanted = Wanted(folders, read_published(), published or ("all" if comparable else "none"), intervals)  # type: ignore[arg-type]
    grid = build_table(layout or _fitting_layout({record.task for record in records}), wanted)
    if out:
        write_atomically(out, render(grid, format_name or _format_of(out)))
    elif format_name or not sys.stdout.isatty():
        print(render(grid, format_name or "md"), end="")
    else:
        from rich.console import Console

        console = Console()
        for part in fold(grid, console.width):
            console.print(part)
        console.print(below(grid), markup=False, highlight=False)


def _fitting_layout(tasks: Set[str]) -> str:
    if tasks and tasks.isdisjoint(column.measured[0] for column in MAIN.columns):
        return "headlines"
    return "pope" if tasks == {"pope"} else "main"


def _format_of(path: Path) -> str:
    suffix = path.suffix.removeprefix(".")
    return {"tex": "latex"}.get(suffix, suffix if suffix in FORMATS else "md")
