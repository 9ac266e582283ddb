"""LaTeX tables: what is escaped, and that pdfLaTeX compiles them."""

import shutil
import subprocess

import pytest

from moe_eval.table.build import Wanted, build_table
from moe_eval.table.grid import Block, Cell, Grid, Heading
from moe_eval.table.latex import escape_latex, to_latex
from moe_eval.table.published import read_published

ODD_NAMES = (
    *(f"a{character}b" for character in "\\~^`\"'<>|&%$#_{}[]*@!?/+=:;,."),
    "100 % of $5 & #1_{x}^2 ~ \\input{/etc/passwd}",
    "[first] in a row",
    "*starred",
    "--fresh --- dashes",
    "MoE-LLaVA-1.6B×4 ±0.5 → ≤ ≥ ≈ −1 · 90° µ … – — ’",
    "Müller, Çelik, Škoda, naïve café, Ångström, ñandú, Straße",
    "模型 Модель 🦙 \x07 line\nbreak\ttab",
)

DOCUMENT = r"""\documentclass{article}
\usepackage{%s}
\begin{document}
%s
\end{document}
"""


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("50 % of $5 & #1_{x}", r"50 \% of \$5 \& \#1\_\{x\}"),
        (r"a\b~c^d", r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d"),
        ("--fresh", "-{}-fresh"),
        ("é", r"\'{e}"),
        ("模", "[U+6A21]"),
        ("two\nlines", "two lines"),
    ],
)
def test_special_characters_are_escaped(text, escaped):
    assert escape_latex(text) == escaped


def test_a_row_never_begins_with_what_its_line_end_would_swallow():
    grid = Grid("t", (Heading("a"),), (Block(((Cell("[x]"),), (Cell("*x"),))),))
    assert "{}[x]" in to_latex(grid)
    assert "{}*x" in to_latex(grid)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed (texlive-latex-base)")
@pytest.mark.parametrize("layout", ["odd names", "main", "pope", "reproduction", "params"])
def test_pdflatex_compiles_the_table(tmp_path, layout):
    if layout == "odd names":
        rows = tuple((Cell(name, notes=(name,)), Cell(name, rank="second")) for name in ODD_NAMES)
        grid = Grid("odd", (Heading("a_b"), Heading("c&d", "50 %")), (Block(rows, "x_y"), Block(rows, "z")), ODD_NAMES)
    else:
        grid = build_table(layout, Wanted([], read_published()))
    log = compile_latex(tmp_path, grid)
    assert "Missing character" not in log
    assert "too large for page" not in log
    assert "Overfull" not in log or layout == "odd names"  # which have words longer than a line


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed (texlive-latex-base)")
def test_without_graphicx_a_table_is_only_wider(tmp_path):
    compile_latex(tmp_path, build_table("main", Wanted([], read_published(), "paper")), packages="booktabs")


def compile_latex(folder, grid: Grid, packages: str = "booktabs,graphicx") -> str:
    """What pdfLaTeX says of the table in a document of its own."""
    (folder / "table.tex").write_text(DOCUMENT % (packages, to_latex(grid)), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "table.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    return (folder / "table.log").read_text(errors="replace")


def test_a_measured_row_says_so_behind_its_name_and_empty_columns_are_gone():
    headings = (Heading("Model"), Heading("LLM"), Heading("x", numeric=True), Heading("Origin", name="origin"))
    rows = ((Cell("a"), Cell(), Cell("1.0 ±0.5"), Cell("measured")), (Cell("b"), Cell(), Cell("2"), Cell("published")))
    text = to_latex(Grid("t", headings, (Block(rows),), name="small"))
    assert r"\begin{tabular}{lr}" in text
    assert r"a (measured) & 1.0\,{\tiny$\pm$0.5} \tabularnewline" in text
    assert r"b & 2 \tabularnewline" in text
    assert r"\label{tab:small}" in text
