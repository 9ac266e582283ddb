"""`moe-eval check`: the regression gate for CI."""

from pathlib import Path

from moe_eval.comparison.baselines import find_baseline
from moe_eval.comparison.gate import check_runs, overall
from moe_eval.comparison.gate_text import as_junit, as_log, as_summary
from moe_eval.files.atomic import write_atomically
from moe_eval.runs.stored_run import find_stored_runs

__all__ = ["check_run"]


def check_run(run: Path, against: Path, tolerance: float, junit: Path | None, markdown: Path | None) -> int:
    """Print the verdicts, write what is asked for, and give the exit code.

    Args:
        against: a folder, or the name of a baseline that comes with the library.

    Raises:
        UserError: for an unknown baseline, folders without runs and files that are broken.
    """
    verdicts = check_runs(find_stored_runs(run), find_stored_runs(find_baseline(against)), tolerance)
    print(as_log(verdicts), end="")
    if junit:
        write_atomically(junit, as_junit(verdicts))
    if markdown:
        write_atomically(markdown, as_summary(verdicts))
    return int(overall(verdicts))
