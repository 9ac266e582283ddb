"""`moe-eval report`: run folders in, one HTML file out."""

from collections.abc import Sequence
from pathlib import Path

from moe_eval.errors import UserError
from moe_eval.files.atomic import write_atomically
from moe_eval.report.build import build_report
from moe_eval.report.runs import find_run_folders

__all__ = ["write_report"]


def write_report(runs: Sequence[Path], out: Path, limit_images: int, thumbnail: int) -> str:
    """Write the report; what it holds comes back, in a few lines.

    Raises:
        UserError: for folders without runs, when no run can be shown, and when `out` cannot be written.
    """
    if not runs:
        raise UserError("no run to report: name RUN folders, or start one with `moe-eval run`")
    if out.is_dir():
        raise UserError(f"{out} is a folder; name a file: --out {out / 'report.html'}")
    report = build_report(find_run_folders(runs), limit_images, thumbnail)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out.parent}: cannot be created ({error.strerror}); use another --out") from error
    write_atomically(out, report.html)
    lines = [
        f"{out}: {len(report.runs)} runs, {report.samples:,} samples, {report.pictures:,} pictures, "
        f"{len(report.html) / 1e6:.1f} MB",
        *(f"left out: {one.reason}" for one in report.left_out),
    ]
    return "\n".join(lines)
