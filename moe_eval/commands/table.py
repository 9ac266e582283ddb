"""`moe-eval table`: run folders and published numbers in, a table out."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from moe_eval.atomic import write_atomically
from moe_eval.errors import UserError, unknown
from moe_eval.table.build import Published, build_rows
from moe_eval.table.formats import FORMATS, numbered_notes, render, to_rich
from moe_eval.table.layouts import find_layout
from moe_eval.table.measured import find_runs
from moe_eval.table.published import read_published

__all__ = ["show_table"]


def show_table(
    runs: Sequence[Path], layout_name: str, format_name: str | None, published: str, out: Path | None
) -> None:
    """Print the table, or write it to `out`, whose suffix then says the format if nothing else does.

    Raises:
        UserError: for unknown names, for folders without runs, for a table without rows.
    """
    layout = find_layout(layout_name)
    if published not in get_args(Published):
        raise unknown("--published", published, get_args(Published))
    rows = build_rows(find_runs(runs), read_published(), layout, published)  # type: ignore[arg-type]
    if not rows:
        raise UserError(f"layout {layout_name} has no rows: give RUN folders, or --published all")
    if out:
        write_atomically(out, render(rows, layout, format_name or _format_of(out)))
    elif format_name or not sys.stdout.isatty():
        print(render(rows, layout, format_name or "md"), end="")
    else:
        from rich.console import Console

        console, shown = Console(), to_rich(rows, layout)
        if Console(width=10_000).measure(shown).maximum <= console.width:
            console.print(shown)
            print(numbered_notes(rows, layout))
        else:
            print(render(rows, layout, "md"), end="")


def _format_of(path: Path) -> str:
    suffix = path.suffix.removeprefix(".")
    return {"tex": "latex"}.get(suffix, suffix if suffix in FORMATS else "md")
