"""Markdown, LaTeX, CSV, HTML, and the terminal: one function each, from the same rows."""

import csv
import html
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from moe_eval.errors import unknown
from moe_eval.table.rows import Layout, Row
from moe_eval.table.text import Cell, TextTable, to_text

if TYPE_CHECKING:
    from rich.table import Table as RichTable

__all__ = ["FORMATS", "numbered_notes", "render", "to_rich"]


def render(rows: Sequence[Row], layout: Layout, format_name: str) -> str:
    """The table in a format of `FORMATS`.

    Raises:
        UserError: naming the formats that exist.
    """
    if format_name not in FORMATS:
        raise unknown("format", format_name, FORMATS)
    return FORMATS[format_name](rows, layout)


def to_markdown(rows: Sequence[Row], layout: Layout) -> str:
    """A GitHub table; groups stand before the column titles, footnotes below."""
    table = to_text(rows, layout)
    headings = [f"{group} {title}".strip() for group, title in zip(_spread(table), table.headings, strict=True)]
    lines = [[_markdown_escape(heading) for heading in headings]]
    lines += [[_markdown_cell(cell) for cell in row] for row in table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    numeric = range(2, len(headings) - 1)
    body = [
        "| " + " | ".join(_align(text, widths[i], i in numeric) for i, text in enumerate(line)) + " |" for line in lines
    ]
    rule = "|" + "|".join("-" * (widths[i] + 1) + (":" if i in numeric else "-") for i in range(len(widths))) + "|"
    notes = [f"{number}. {_markdown_escape(note)}" for number, note in enumerate(table.notes, start=1)]
    return "\n".join([body[0], rule, *body[1:], "", *notes]).rstrip() + "\n"


def to_latex(rows: Sequence[Row], layout: Layout) -> str:
    """A `booktabs` table without preamble: `\\usepackage{booktabs}` is all it needs."""
    table = to_text(rows, layout)
    spec = "ll" + "r" * (len(table.headings) - 3) + "l"
    groups, rules, start = [], [], 1
    for heading, width in table.groups:
        groups.append(rf"\multicolumn{{{width}}}{{c}}{{{_latex_escape(heading)}}}")
        if heading:
            rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    lines = [
        rf"\begin{{tabular}}{{{spec}}}",
        r"\toprule",
        " & ".join(groups) + r" \\",
        "".join(rules),
        " & ".join(map(_latex_escape, table.headings)) + r" \\",
        r"\midrule",
        *(" & ".join(map(_latex_cell, row)) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    notes = [
        rf"\par\footnotesize\textsuperscript{{{number}}}\,{_latex_escape(note)}"
        for number, note in enumerate(table.notes, start=1)
    ]
    return "\n".join(lines + notes) + "\n"


def to_csv(rows: Sequence[Row], layout: Layout) -> str:
    """Full precision, one column for the notes; parameters as plain numbers."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = [column.name for column in layout.columns]
    writer.writerow(
        [
            "model",
            "llm",
            "params_total",
            "params_activated",
            "image_size",
            *names,
            "origin",
            "remark",
            "data",
            "notes",
        ]
    )
    for row in rows:
        writer.writerow(
            [
                row.model,
                row.llm,
                _plain(row.params_total),
                _plain(row.params_activated),
                row.image_size,
                *("pending" if name in row.pending else row.values.get(name) for name in names),
                row.origin,
                row.remark,
                " | ".join(dict.fromkeys(row.data.values())),
                " | ".join([*row.notes, *(row.value_notes or {}).values()]),
            ]
        )
    return stream.getvalue()


def to_html(rows: Sequence[Row], layout: Layout) -> str:
    """A `<table>` with its footnotes; nothing in it is trusted, everything is escaped."""
    table = to_text(rows, layout)
    groups = "".join(f'<th colspan="{width}">{html.escape(heading)}</th>' for heading, width in table.groups)
    headings = "".join(f'<th scope="col">{html.escape(heading)}</th>' for heading in table.headings)
    body = "\n".join(f"<tr>{''.join(map(_html_cell, row))}</tr>" for row in table.rows)
    notes = "\n".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
    return (
        f"<table>\n<caption>{html.escape(table.title)}</caption>\n<thead>\n<tr>{groups}</tr>\n<tr>{headings}</tr>\n"
        f"</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n<ol>\n{notes}\n</ol>\n"
    )


FORMATS: dict[str, Callable[[Sequence[Row], Layout], str]] = {
    "md": to_markdown,
    "latex": to_latex,
    "csv": to_csv,
    "html": to_html,
}


def to_rich(rows: Sequence[Row], layout: Layout) -> "RichTable":
    """For a terminal that is wide enough."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable
    from rich.text import Text

    table = to_text(rows, layout)
    shown = RichTable(title=table.title, box=SIMPLE_HEAD)
    for index, (group, heading) in enumerate(zip(_spread(table), table.headings, strict=True)):
        numeric = 2 <= index < len(table.headings) - 1
        shown.add_column(f"{group}\n{heading}".strip(), justify="right" if numeric else "left", no_wrap=True)
    for row in table.rows:
        cells = [Text(cell.text, style="bold" if cell.best else "") for cell in row]
        for text, cell in zip(cells, row, strict=True):
            text.append(f" {','.join(map(str, cell.notes))}" if cell.notes else "", style="dim")
        shown.add_row(*cells)
    return shown


def numbered_notes(rows: Sequence[Row], layout: Layout) -> str:
    """The footnotes of the table, one a line."""
    return "\n".join(f"{number}. {note}" for number, note in enumerate(to_text(rows, layout).notes, start=1))


def _spread(table: TextTable) -> list[str]:
    """The group of every column."""
    return [heading for heading, width in table.groups for _ in range(width)]


def _align(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def _plain(count: float | None) -> str:
    return "" if count is None else f"{count:.0f}"


def _markdown_escape(text: str) -> str:
    for character in "\\|*_<>[]`":
        text = text.replace(character, f"\\{character}")
    return text


def _markdown_cell(cell: Cell) -> str:
    text = f"**{_markdown_escape(cell.text)}**" if cell.best else _markdown_escape(cell.text)
    return f"{text} [{', '.join(map(str, cell.notes))}]" if cell.notes else text


_LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "×": r"$\times$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def _latex_escape(text: str) -> str:
    return "".join(_LATEX_SPECIAL.get(character, character) for character in text)


def _latex_cell(cell: Cell) -> str:
    text = rf"\textbf{{{_latex_escape(cell.text)}}}" if cell.best else _latex_escape(cell.text)
    return text + (rf"\textsuperscript{{{','.join(map(str, cell.notes))}}}" if cell.notes else "")


def _html_cell(cell: Cell) -> str:
    text = f"<strong>{html.escape(cell.text)}</strong>" if cell.best else html.escape(cell.text)
    marks = f"<sup>{', '.join(map(str, cell.notes))}</sup>" if cell.notes else ""
    return f"<td>{text}{marks}</td>"
