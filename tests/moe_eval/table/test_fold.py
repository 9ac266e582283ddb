"""Tables on a terminal that is narrower than they are."""

import io
import re

import pytest
from rich.console import Console

from moe_eval.commands.table import show_table
from moe_eval.table.build import Wanted, build_table
from moe_eval.table.formats import fold
from moe_eval.table.grid import Block, Cell, Grid, Heading
from moe_eval.table.published import read_published


def shown(grid: Grid, width: int) -> list[str]:
    """What each part looks like."""
    texts = []
    for part in fold(grid, width):
        console = Console(file=io.StringIO(), width=width)
        console.print(part)
        texts.append(console.file.getvalue())
    return texts


def numbers(count: int) -> Grid:
    headings = (Heading("Model"), *(Heading(f"column{i}", numeric=True) for i in range(count)))
    rows = tuple((Cell(f"model-{name}"), *(Cell(f"{i}.5 ±0.1") for i in range(count))) for name in "ab")
    return Grid("Title", headings, (Block(rows),))


def test_a_table_that_fits_is_one():
    assert len(fold(numbers(3), 100)) == 1


def test_a_wide_table_is_folded_and_every_part_names_its_rows():
    parts = shown(numbers(12), 80)
    assert len(parts) == 2
    assert all("model-a" in part and "model-b" in part for part in parts)
    assert [text for part in parts for text in re.findall(r"column\d+", part)] == [f"column{i}" for i in range(12)]
    assert parts[0].count("Title") == 1
    assert "Title" not in parts[1]


def test_rows_that_the_first_column_does_not_tell_apart_are_named_by_the_second():
    headings = (Heading("Model"), Heading("Number"), *(Heading(f"column{i}", numeric=True) for i in range(9)))
    rows = tuple((Cell("same"), Cell(name), *(Cell("1.0") for _ in range(9))) for name in ("POPE", "GQA"))
    assert all("POPE" in part and "GQA" in part for part in shown(Grid("", headings, (Block(rows),)), 60))


@pytest.mark.parametrize("layout", ["main", "pope", "reproduction", "params"])
@pytest.mark.parametrize("width", [80, 120])
def test_published_tables_fit_a_terminal_and_lose_no_number(layout, width):
    grid = build_table(layout, Wanted([], read_published(), "paper"))
    parts = shown(grid, width)
    assert max(len(line) for part in parts for line in part.splitlines()) <= width
    for index, heading in enumerate(grid.headings):
        if heading.numeric:
            assert all(row[index].text in "".join(parts) for row in grid.rows)
    assert "…" not in "".join(parts)


def test_a_pipe_gets_the_whole_table_as_markdown(capsys):
    show_table([], "main", None, "paper", True, None)
    assert capsys.readouterr().out.startswith("| Model ")
