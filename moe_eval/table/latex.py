"""LaTeX: a `booktabs` table that pdfLaTeX compiles, whatever stands in names and notes."""

import unicodedata

from moe_eval.table.grid import Cell, Grid

__all__ = ["escape_latex", "to_latex"]


def to_latex(grid: Grid) -> str:
    """A table without preamble: `\\usepackage{booktabs}` is all it needs."""
    columns = len(grid.headings)
    spec = "".join("r" if heading.numeric else "l" for heading in grid.headings)
    lines = [rf"\begin{{tabular}}{{{spec}}}", r"\toprule", *_groups(grid)]
    lines.append(_row([escape_latex(heading.title) for heading in grid.headings]))
    for title, block in grid.titled_blocks:
        lines.append(r"\midrule")
        if title:
            lines.append(_row([rf"\multicolumn{{{columns}}}{{l}}{{\emph{{{escape_latex(title)}}}}}"]))
        lines += [_row([_cell(grid, cell) for cell in row]) for row in block.rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    notes = [escape_latex(remark) for remark in grid.remarks]
    notes += [rf"\textsuperscript{{{number}}}\,{escape_latex(note)}" for note, number in grid.notes.items()]
    if notes:
        lines += [r"\par\medskip", r"{\footnotesize\raggedright", *(rf"{note}\par" for note in notes), "}"]
    return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    """Any text as pdfLaTeX prints it with its default fonts; characters that these lack become `[U+4E2D]`."""
    return "".join(map(_character, " ".join(text.split()).replace("--", "-\0-").replace("--", "-\0-")))


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
    return " & ".join(cells) + r" \\"


_RANK = {"": "{}", "best": r"\textbf{{{}}}", "second": r"\underline{{{}}}"}


def _cell(grid: Grid, cell: Cell) -> str:
    text = _RANK[cell.rank].format(escape_latex(cell.text))
    marks = ",".join(map(str, grid.marks(cell)))
    # [ or * at the start of a row would belong to the \\ before it
    return ("{}" if text.startswith(("[", "*")) else "") + text + (rf"\textsuperscript{{{marks}}}" if marks else "")


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
