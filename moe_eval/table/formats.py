"""Markdown, CSV, HTML, JSON, and the terminal: one function each, from the same grid. LaTeX has a module of its own."""

import csv
import html
import io
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from moe_eval.errors import unknown
from moe_eval.files.cells import harmless
from moe_eval.table.grid import Cell, Grid
from moe_eval.table.latex import to_latex

if TYPE_CHECKING:
    from rich.table import Table as RichTable

__all__ = ["FORMATS", "below", "fold", "render", "to_rich"]


def render(grid: Grid, format_name: str) -> str:
    """The table in a format of `FORMATS`.

    Raises:
        UserError: naming the formats that exist.
    """
    if format_name not in FORMATS:
        raise unknown("format", format_name, FORMATS)
    return FORMATS[format_name](grid)


def to_markdown(grid: Grid) -> str:
    """A GitHub table; groups stand before the column titles, remarks and footnotes below."""
    lines = [[_markdown_escape(heading.full) for heading in grid.headings]]
    for title, block in grid.titled_blocks:
        if title:
            lines.append([f"*{_markdown_escape(title)}*", *("" for _ in grid.headings[1:])])
        lines += [[_markdown_cell(grid, cell) for cell in row] for row in block.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(grid.headings))]
    numeric = [heading.numeric for heading in grid.headings]
    columns = list(zip(widths, numeric, strict=True))
    body = [
        "| "
        + " | ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, (width, right) in zip(line, columns, strict=True)
        )
        + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 1) + (":" if right else "-") for width, right in columns) + "|"
    remarks = [f"{_markdown_escape(remark)}\n" for remark in grid.remarks]
    notes = [f"{number}. {_markdown_escape(note)}" for note, number in grid.notes.items()]
    return "\n".join([body[0], rule, *body[1:], "", *remarks, *notes]).rstrip() + "\n"


def to_csv(grid: Grid) -> str:
    """Full precision; ends of intervals and the notes in columns of their own."""
    intervals = [any(row[column].interval for row in grid.rows) for column in range(len(grid.headings))]
    header = []
    for heading, with_interval in zip(grid.headings, intervals, strict=True):
        name = heading.name or heading.full
        header += [name, f"{name} low", f"{name} high"] if with_interval else [name]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*(["block"] if len(grid.blocks) > 1 else []), *header, "notes"])
    for title, block in grid.titled_blocks:
        for row in block.rows:
            values: list[str | float | None] = [title] if title else []
            for cell, with_interval in zip(row, intervals, strict=True):
                values.append(harmless(cell.text) if cell.value is None else _plain(cell.value))
                values += (cell.interval or (None, None)) if with_interval else ()
            notes = dict.fromkeys(note for cell in row for note in cell.notes if note)
            writer.writerow([*values, " | ".join(notes)])
    return stream.getvalue()


def to_json(grid: Grid) -> str:
    """A list of rows by column name, with full precision; ends of intervals and the notes under names of their own."""
    rows = []
    for title, block in grid.titled_blocks:
        for row in block.rows:
            values: dict[str, object] = {"block": title} if title else {}
            for heading, cell in zip(grid.headings, row, strict=True):
                name = heading.name or heading.full
                values[name] = (cell.text or None) if cell.value is None else cell.value
                if cell.interval:
                    values |= {f"{name} low": cell.interval[0], f"{name} high": cell.interval[1]}
            notes = dict.fromkeys(note for cell in row for note in cell.notes if note)
            rows.append({**values, **({"notes": list(notes)} if notes else {})})
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


STYLE = (
    "<style>table.moe-eval { border-collapse: collapse; border-top: 2px solid; border-bottom: 2px solid } "
    "table.moe-eval caption { font-weight: bold; text-align: left; padding-bottom: 0.4em } "
    "table.moe-eval thead { border-bottom: 1px solid } "
    "table.moe-eval thead th[colspan]:not(:empty) { border-bottom: 1px solid } "
    "table.moe-eval tr:has(th[scope=rowgroup]) { border-top: 1px solid } "
    "table.moe-eval td, table.moe-eval th { padding: 0.15em 0.6em; text-align: left; vertical-align: baseline } "
    "table.moe-eval tbody th { font-weight: normal } table.moe-eval tbody th, table.moe-eval .number { white-space: nowrap } "
    "table.moe-eval sup { font-size: 0.7em; line-height: 0 } table.moe-eval th[scope=rowgroup] { font-style: italic } "
    "table.moe-eval .number { text-align: right } table.moe-eval thead tr:first-child th { text-align: center }</style>"
)
"""Rules as a printed table has them, in the colour of the text. A name of a row is not bold: bold is the best number."""


def to_html(grid: Grid) -> str:
    """A `<table>` with its footnotes; nothing in it is trusted, everything is escaped."""
    groups = "".join(f'<th colspan="{width}">{html.escape(heading)}</th>' for heading, width in grid.groups)
    headings = "".join(
        f'<th scope="col"{_html_class(heading.numeric)}>{html.escape(heading.title)}</th>' for heading in grid.headings
    )
    body = []
    for title, block in grid.titled_blocks:
        if title:
            body.append(f'<tr><th colspan="{len(grid.headings)}" scope="rowgroup">{html.escape(title)}</th></tr>')
        body += [f"<tr>{''.join(_html_cells(grid, row))}</tr>" for row in block.rows]
    remarks = "".join(f"<p>{html.escape(remark)}</p>\n" for remark in grid.remarks)
    notes = "\n".join(f"<li>{html.escape(note)}</li>" for note in grid.notes)
    return (
        f'{STYLE}\n<table class="moe-eval">\n<caption>{html.escape(grid.title)}</caption>\n<thead>\n'
        + (f"<tr>{groups}</tr>\n" if len(grid.groups) > 1 else "")
        + f"<tr>{headings}</tr>\n</thead>\n<tbody>\n"
        + "\n".join(body)
        + f"\n</tbody>\n</table>\n{remarks}"
        + (f"<ol>\n{notes}\n</ol>\n" if notes else "")
    )


FORMATS: dict[str, Callable[[Grid], str]] = {
    "md": to_markdown,
    "latex": to_latex,
    "csv": to_csv,
    "html": to_html,
    "json": to_json,
}


def to_rich(grid: Grid, wrap: bool = False) -> "RichTable":
    """For a terminal that is wide enough; with `wrap`, for any: text goes on in the next line."""
    return _rich_part(grid, range(len(grid.headings)), wrap)


def fold(grid: Grid, width: int) -> list["RichTable"]:
    """For a terminal of `width` characters: one table, or several below each other that share the columns out.

    Each of them begins with the columns that name the rows. Text that is too wide even so goes on in the next line;
    numbers are never broken.
    """
    from rich.console import Console

    # Measures what a table would like to have; without a height, a dumb terminal's width is 80 whatever is said.
    console = Console(width=10_000, height=25)

    def fits(columns: Sequence[int], within: int = width, name_width: int | None = None) -> bool:
        return console.measure(_rich_part(grid, columns, name_width=name_width)).maximum <= within

    if fits(range(len(grid.headings))):
        return [to_rich(grid)]
    names = _naming_columns(grid)
    # Most of the width is for what the rows say; but names in one line are worth more than half of it.
    name_width = None if fits(names, 3 * width // 5) else width // 3 // len(names)
    parts = [names]
    for column in range(len(names), len(grid.headings)):
        if len(parts[-1]) > len(names) and not fits([*parts[-1], column], name_width=name_width):
            parts.append(names)
        parts[-1] = [*parts[-1], column]
    return [
        _rich_part(grid, columns, True, name_width, title=grid.title if not index else "")
        for index, columns in enumerate(parts)
    ]


def _naming_columns(grid: Grid) -> list[int]:
    """The first column; and the second, where it tells rows apart that the first does not."""
    if len(grid.headings) < 3 or grid.headings[1].numeric:
        return [0]
    first = {row[0].text for row in grid.rows}
    both = {(row[0].text, row[1].text) for row in grid.rows}
    return [0, 1] if len(both) > len(first) else [0]


def _rich_part(
    grid: Grid, columns: Sequence[int], wrap: bool = False, name_width: int | None = None, title: str | None = None
) -> "RichTable":
    """Some columns of a grid, those that name the rows no wider than `name_width`, under the grid's title or another."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable
    from rich.text import Text

    names = _naming_columns(grid) if name_width else []
    shown = RichTable(title=(grid.title if title is None else title) or None, box=SIMPLE_HEAD)
    for column in columns:
        heading = grid.headings[column]
        shown.add_column(
            f"{heading.group}\n{heading.title}".strip(),
            justify="right" if heading.numeric else "left",
            no_wrap=heading.numeric or not wrap,
            max_width=name_width if column in names else None,
            overflow="fold",  # a name that is cut short could be another model's
        )
    styles = {"": "", "best": "bold", "second": "underline"}
    for block_title, block in grid.titled_blocks:
        if block_title:
            shown.add_row(Text(block_title, style="italic"))
        for row in block.rows:
            cells = [row[column] for column in columns]
            texts = [Text(cell.text, style=styles[cell.rank]) for cell in cells]
            for text, cell in zip(texts, cells, strict=True):
                marks = ",".join(map(str, grid.marks(cell)))
                text.append(f" {marks}" if marks else "", style="dim")
            shown.add_row(*texts)
    return shown


def below(grid: Grid) -> str:
    """What stands under a table in a terminal: remarks and numbered footnotes, one a line."""
    return "\n".join([*grid.remarks, *(f"{number}. {note}" for note, number in grid.notes.items())])


def _plain(value: float) -> str:
    """`3600000000` for a count, all digits for a score."""
    return f"{value:.0f}" if value == int(value) and abs(value) >= 1e6 else repr(value)


def _markdown_escape(text: str) -> str:
    for character in "\\|*_<>[]`":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


_MARKDOWN_RANK = {"": "{}", "best": "**{}**", "second": "<ins>{}</ins>"}


def _markdown_cell(grid: Grid, cell: Cell) -> str:
    text = _MARKDOWN_RANK[cell.rank].format(_markdown_escape(cell.text))
    marks = ", ".join(map(str, grid.marks(cell)))
    return f"{text} [{marks}]" if marks else text


_HTML_RANK = {"": "{}", "best": "<strong>{}</strong>", "second": "<u>{}</u>"}


def _html_cells(grid: Grid, row: tuple[Cell, ...]) -> list[str]:
    """The first cell names the row."""
    cells = []
    for index, (cell, heading) in enumerate(zip(row, grid.headings, strict=True)):
        text = _HTML_RANK[cell.rank].format(html.escape(cell.text))
        marks = ", ".join(map(str, grid.marks(cell)))
        tag, scope = ("td", "") if index else ("th", ' scope="row"')
        inner = f"{text}<sup>{marks}</sup>" if marks else text
        cells.append(f"<{tag}{scope}{_html_class(heading.numeric)}>{inner}</{tag}>")
    return cells


def _html_class(numeric: bool) -> str:
    return ' class="number"' if numeric else ""
