"""`moe-eval figures`: figures of runs and published numbers as files, with their data beside them."""

from collections.abc import Sequence
from pathlib import Path

from moe_eval.errors import UserError, unknown
from moe_eval.figures.catalogue import make_drawings
from moe_eval.figures.style import FORMATS
from moe_eval.files.atomic import write_atomically
from moe_eval.table.measured import find_runs

__all__ = ["write_figures"]


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
