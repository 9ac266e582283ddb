"""`moe-eval compare`: two runs, or two folders of runs, beside each other."""

import json
from pathlib import Path

from moe_eval.comparison.pairing import compare_tasks
from moe_eval.comparison.text import as_data, as_markdown
from moe_eval.errors import unknown
from moe_eval.files.atomic import write_atomically
from moe_eval.runs.stored_run import find_stored_runs

__all__ = ["show_comparison"]

FORMATS = ("md", "json")


def show_comparison(
    first: Path, second: Path, flips: int, common: bool, format_name: str | None, out: Path | None
) -> None:
    """Print the comparison, or write it to `out`, whose suffix then says the format if nothing else does.

    Raises:
        UserError: for folders without runs, and runs that cannot be compared.
    """
    format_name = format_name or ("json" if out and out.suffix == ".json" else "md")
    if format_name not in FORMATS:
        raise unknown("--format", format_name, FORMATS)
    comparisons, alone = compare_tasks(find_stored_runs(first), find_stored_runs(second), common)
    if format_name == "json":
        text = json.dumps(as_data(comparisons, alone, flips), indent=1) + "\n"
    else:
        text = as_markdown(comparisons, alone, flips)
    if out:
        write_atomically(out, text)
    else:
        print(text, end="")
