"""LaTeX: a `booktabs` table that pdfLaTeX compiles, whatever stands in names and notes, and that fits its page."""

import unicodedata
from dataclasses import replace

from moe_eval.table.grid import Block, Cell, Grid

__all__ = ["escape_latex", "to_latex"]


def to_latex(grid: Grid) -> str:
    """A `table*` with caption, label and footnotes, shrunk to the width of the text and the height of the page where it is larger.

    To be narrow it has no column of origins: a measured row says so behind its name, the sources are its footnotes.

    It needs `\\usepackage{booktabs,graphicx}`; without `graphicx` it keeps its width.
    """
    grid = _narrow(grid)
    columns = len(grid.headings)
    spec = "".join(_column_type(grid, column) for column in range(columns))
    lines = [
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{escape_latex(grid.title)}}}",
        rf"\label{{tab:{_label(grid)}}}",
        r"\scriptsize\setlength{\tabcolsep}{2.5pt}",
        r"\providecommand{\resizebox}[3]{#3}",
        r"\sbox0{\begin{minipage}[b]{\linewidth}\centering",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{spec}}}",
        r"\toprule",
        *_groups(grid),
    ]
    lines.append(_row([escape_latex(heading.title) for heading in grid.headings]))
    for title, block in grid.titled_blocks:
        lines.append(r"\midrule")
        if title:
            lines.append(_row([rf"\multicolumn{{{columns}}}{{l}}{{\emph{{{escape_latex(title)}}}}}"]))
        lines += [_row([_cell(grid, cell, column) for column, cell in enumerate(row)]) for row in block.rows]
    lines += [r"\bottomrule", r"\end{tabular}}"]
    notes = [escape_latex(remark) for remark in grid.remarks]
    notes += [rf"\textsuperscript{{{number}}}\,{escape_latex(note)}" for note, number in grid.notes.items()]
    if notes:
        # in one paragraph: 25 footnotes below 45 rows must fit a page
        lines += [r"\par\medskip", r"{\raggedright", *(rf"{note}\quad" for note in notes), r"\par}"]
    lines += [r"\end{minipage}}", rf"\ifdim\ht0>{HIGHEST}\resizebox{{!}}{{{HIGHEST}}}{{\usebox0}}\else\usebox0\fi"]
    lines.append(r"\end{table*}")
    return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    """Any text as pdfLaTeX prints it with its default fonts; characters that these lack become `[U+4E2D]`."""
    return "".join(map(_character, " ".join(text.split()).replace("--", "-\0-").replace("--", "-\0-")))


LONG, LONGEST = 28, 40
"""A column of longer texts is broken into lines of at least so many characters, and at most."""
HIGHEST = r"0.9\textheight"
"""What a table and its footnotes may take of a page, which has a caption, too."""
CHARACTER = 0.125
"""Of the smallest print, in centimetres."""


def _narrow(grid: Grid) -> Grid:
    """Without empty columns, and without the one of origins."""
    rows = [[*row] for row in grid.rows]
    filled = [column for column in range(len(grid.headings)) if any(row[column].text for row in rows)]
    with_origin = grid.headings[-1].name == "origin"
    kept = [column for column in filled if not with_origin or column < len(grid.headings) - 1]

    def narrow(row: tuple[Cell, ...]) -> tuple[Cell, ...]:
        first = row[0]
        if with_origin:
            origin = row[-1]
            text = first.text if origin.text == "published" else f"{first.text} ({origin.text})"
            first = replace(first, text=text, notes=(*first.notes, *origin.notes))
        return (first, *(row[column] for column in kept if column))

    blocks = tuple(Block(tuple(map(narrow, block.rows)), block.title) for block in grid.blocks)
    remarks = grid.remarks
    if with_origin and any(row[-1].text == "published" for row in grid.rows):
        remarks = (*remarks, "Rows without a remark behind the name are published.")
    headings = tuple(grid.headings[column] for column in kept)
    return replace(grid, headings=headings, blocks=blocks, remarks=remarks)


def _column_type(grid: Grid, column: int) -> str:
    if grid.headings[column].numeric:
        return "r"
    if not _is_long(grid, column):
        return "l"
    characters = min(max(LONG, -(-_longest(grid, column) // 2)), LONGEST)
    return f"p{{{characters * CHARACTER:.3g}cm}}"


def _is_long(grid: Grid, column: int) -> bool:
    return not grid.headings[column].numeric and _longest(grid, column) > LONG


def _longest(grid: Grid, column: int) -> int:
    return max((len(row[column].text) for row in grid.rows), default=0)


def _label(grid: Grid) -> str:
    """Of the layout; of the title where there is none."""
    words = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in grid.name or grid.title)
    return "-".join(words.lower().split())


def _groups(grid: Grid) -> list[str]:
    """The line of group headings, with a rule under each."""
    if not any(heading for heading, _ in grid.groups):
        return []
    cells, rules, start = [], [], 1
    for heading, width in grid.groups:
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{escape_latex(heading)}}}")
        if heading:
            rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    return [_row(cells), "".join(rules)]


def _row(cells: list[str]) -> str:
    """Not ended by a double backslash, which means something else behind `\\raggedright`."""
    return " & ".join(cells) + r" \tabularnewline"


_RANK = {"": "{}", "best": r"\textbf{{{}}}", "second": r"\underline{{{}}}"}


def _cell(grid: Grid, cell: Cell, column: int) -> str:
    number, sign, margin = escape_latex(cell.text).partition(r" $\pm$")
    text = _RANK[cell.rank].format(number) + (rf"\,{{\tiny$\pm${margin}}}" if sign else "")
    marks = ",".join(map(str, grid.marks(cell)))
    # [ or * at the start of a row would belong to the end of the row before it
    text = ("{}" if text.startswith(("[", "*")) else "") + text + (rf"\textsuperscript{{{marks}}}" if marks else "")
    return rf"\raggedright {text}" if _is_long(grid, column) else text


_SPECIAL = {
    "\0": "{}",  # keeps two hyphens from becoming a dash
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "×": r"$\times$",
    "±": r"$\pm$",
    "−": r"$-$",
    "→": r"$\to$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≈": r"$\approx$",
    "·": r"$\cdot$",
    "°": r"$^\circ$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "ß": r"\ss{}",
    "’": "'",
    "µ": r"$\mu$",
    "μ": r"$\mu$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}

_ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": r"\`",
    "\N{COMBINING ACUTE ACCENT}": r"\'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": r"\^",
    "\N{COMBINING TILDE}": r"\~",
    "\N{COMBINING DIAERESIS}": r"\"",
    "\N{COMBINING CARON}": r"\v",
    "\N{COMBINING CEDILLA}": r"\c",
    "\N{COMBINING RING ABOVE}": r"\r",
}


def _character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if " " <= character <= "~":
        return character
    letter, accent = (*unicodedata.normalize("NFD", character), "", "")[:2]
    if accent in _ACCENTS and letter.isascii() and unicodedata.normalize("NFC", letter + accent) == character:
        return f"{_ACCENTS[accent]}{{{letter}}}"
    return f"[U+{ord(character):04X}]"
