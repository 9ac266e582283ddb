"""`moe-eval figures`: figures of runs and published numbers as files, with their data beside them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from moe_eval.commands.options import RunsArgument, runs_or_default
from moe_eval.errors import UserError, unknown
from moe_eval.figures.catalogue import make_drawings
from moe_eval.figures.style import FORMATS
from moe_eval.files.atomic import write_atomically
from moe_eval.table.measured import find_runs

__all__ = ["figures", "write_figures"]


def figures(
    runs: RunsArgument = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("results/figures"),
    formats: Annotated[str, typer.Option("--format", help="Comma-separated: svg, pdf, png.")] = "svg",
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--figure",
            help="params, tasks, pope-yes-ratio, reliability, expert-load, modality, pathways, "
            "expert-overlap or specialisation; several times for several. "
            "Default: all that there are data for.",
        ),
    ] = None,
    published: Annotated[bool, typer.Option(help="Published numbers beside measured ones.")] = True,
) -> None:
    """Draw the figures of the MoE-LLaVA paper from runs, ready for a paper, with their data as CSV beside them.

    Those of experts need runs made with `--routing`.

    Example: moe-eval figures results/runs --figure params --format svg,pdf
    """
    kinds = [name.strip() for name in formats.split(",")]
    write_figures(runs_or_default(runs), out, kinds, names or [], published)


def write_figures(
    runs: Sequence[Path], out: Path, formats: Sequence[str], names: Sequence[str], published: bool
) -> list[Path]:
    """Draw, write, and say what was written.

    Raises:
        UserError: for a name or format that does not exist, folders without runs, a figure without data, a folder that
            cannot be written.
    """
    for format_name in formats:
        if format_name not in FORMATS:
            raise unknown("format", format_name, FORMATS)
    drawings = make_drawings(find_runs(runs), names, published)
    if not drawings:
        raise UserError("nothing to draw: give RUN folders, or leave --no-published out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be created ({error.strerror}); use another --out") from error
    written = []
    for drawing in drawings:
        files = {f"{drawing.name}.{format_name}": drawing.save(format_name) for format_name in formats}
        for name, content in {**files, f"{drawing.name}.csv": drawing.csv().encode()}.items():
            write_atomically(out / name, content)
            written.append(out / name)
        print(f"{drawing.title}: {', '.join(map(str, written[-len(files) - 1 :]))}", flush=True)
    return written
