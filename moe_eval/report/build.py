"""From run folders to the report's HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError
from moe_eval.report.figures import by_family, make_figures
from moe_eval.report.labels import letters_of
from moe_eval.report.matrix import make_matrix
from moe_eval.report.page import render_page
from moe_eval.report.pictures import Album
from moe_eval.report.questions import QuestionSet, group_runs, pack_set
from moe_eval.report.runs import LeftOut, ReportRun, read_runs
from moe_eval.report.summary import (
    breakdown,
    dates,
    describe_runs,
    headlines_in_words,
    make_panel,
    model_rows,
    protocol_rows,
    shared_notes,
)
from moe_eval.table.build import Published, Wanted, build_table
from moe_eval.table.grid import Grid
from moe_eval.table.layouts import MAIN
from moe_eval.table.published import read_published

__all__ = ["Report", "build_report"]

COMPARISONS, OTHERS = ("main", "pope"), ("reproduction", "ablation")
"""Layouts of `moe-eval table` that the report shows where a run has numbers for them."""

PICTURES_PER_BLOCK = 50

PACKED = ("columns", "blocks", "path_blocks")
"""Parts of a question set that have script elements of their own."""


@dataclass(frozen=True)
class Report:
    """The page, and what went into it."""

    html: bytes
    runs: list[ReportRun]
    left_out: list[LeftOut]
    samples: int
    pictures: int


def build_report(folders: Sequence[Path], limit_images: int, thumbnail: int, now: datetime | None = None) -> Report:
    """The report on some run folders.

    Args:
        limit_images: pictures per question set to take in.
        thumbnail: longest side of a picture in pixels.

    Raises:
        UserError: when not one run can be shown.
    """
    runs, left_out = read_runs(folders)
    sets, album = sorted(group_runs(runs), key=_as_in_papers), Album(thumbnail)
    figures = make_figures([run.folder for run in runs])
    letters = letters_of([label for questions in sets for label in questions.labels])
    packed = [pack_set(questions, album, limit_images) for questions in sets]
    content = {
        "title": "Evaluation report",
        "created": (now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
        "when": dates(runs),
        "runs": runs,
        "left_out": left_out,
        "models": model_rows(runs),
        "matrix": make_matrix(sets),
        "notes": shared_notes(sets),
        "tasks": [_task_section(questions) for questions in sets],
        "tables": _tables([run.folder for run in runs]),
        "figures": figures,
        "families": by_family(figures),
        "letters": letters,
        "sets": [
            {
                **{name: value for name, value in one.items() if name not in PACKED},
                "letters": [letters[label] for label in one["runs"]],
            }
            for one in packed
        ],
        "packed": packed,
        "album": album,
        "picture_blocks": [
            album.encoded[start : start + PICTURES_PER_BLOCK]
            for start in range(0, len(album.encoded), PICTURES_PER_BLOCK)
        ],
        "pictures_per_block": PICTURES_PER_BLOCK,
        "samples": sum(one["size"] for one in packed),
    }
    return Report(render_page(content), runs, left_out, content["samples"], len(album.encoded))


def _as_in_papers(questions: QuestionSet) -> tuple[int, str]:
    """Place of the benchmark in the papers' tables; others behind, by name."""
    tasks = [column.measured[0] for column in MAIN.columns]
    return (tasks.index(questions.task) if questions.task in tasks else len(tasks)), questions.task


def _task_section(questions: QuestionSet) -> dict[str, Any]:
    return {
        "questions": questions,
        "panel": make_panel(questions),
        "breakdown": breakdown(questions),
        "protocols": protocol_rows(questions),
        "headlines": headlines_in_words(questions),
        "runs": describe_runs(questions),
    }


def _tables(folders: Sequence[Path]) -> list[Grid]:
    """Tables in which one of the runs has a row; comparisons have every published row, too."""
    numbers = read_published()
    wanted: list[tuple[str, Published, Published]] = [(name, "none", "all") for name in COMPARISONS]
    wanted += [(name, "own", "own") for name in OTHERS]
    grids = []
    for name, probe, published in wanted:
        try:
            grid = build_table(name, Wanted(folders, numbers, published=probe))
        except UserError:  # no run has a number in it
            continue
        grids.append(grid if probe == published else build_table(name, Wanted(folders, numbers, published=published)))
    return grids
