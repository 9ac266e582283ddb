"""`moe-eval export`: what runs hold as a table for other programs, a row per question or per run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from moe_eval.commands.options import RUNS, RunsArgument, TaskFileOption, own_task
from moe_eval.errors import UserError, unknown
from moe_eval.files.cells import harmless
from moe_eval.python import exportable, load_runs

__all__ = ["export", "export_runs"]


def export(
    runs: RunsArgument = None,
    out: Annotated[Path, typer.Option(help="File to write: .parquet, .csv or .jsonl.")] = Path(
        "results/samples.parquet"
    ),
    what: Annotated[str, typer.Option(help="samples (a row per question) or summary (a row per run).")] = "samples",
    task_file: TaskFileOption = None,
) -> None:
    """Write what runs hold as a table for other programs: pandas, datasets, a spreadsheet.

    Example: moe-eval export results/runs --out samples.parquet
    """
    own_task(task_file)
    print(export_runs(runs or [RUNS], out, what))


WHAT = ("samples", "summary")


def export_runs(runs: Sequence[Path], out: Path, what: str) -> str:
    """Write the frame of `Runs.samples` or `Runs.summary`; the suffix says the format: .parquet, .csv, .jsonl.

    `datasets.Dataset.from_parquet` reads the first; a folder of such files is a data set of the hub.

    Raises:
        UserError: for a folder without runs, another suffix, and where `out` cannot be written.
    """
    if what not in WHAT:
        raise unknown("--what", what, WHAT)
    if out.suffix not in (".parquet", ".csv", ".jsonl"):
        raise UserError(f"{out}: name a file that ends with .parquet, .csv or .jsonl")
    found = load_runs(*runs)
    frame = found.samples() if what == "samples" else found.summary()
    frame = exportable(frame)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".parquet":
            frame.to_parquet(out, index=False)
        elif out.suffix == ".csv":
            frame.map(lambda cell: harmless(cell) if isinstance(cell, str) else cell).to_csv(out, index=False)
        else:
            frame.to_json(out, orient="records", lines=True, force_ascii=False)
    except OSError as error:
        raise UserError(f"{out}: cannot write ({error.strerror})") from error
    return f"{out}: {len(frame):,} rows of {len(found)} runs"
