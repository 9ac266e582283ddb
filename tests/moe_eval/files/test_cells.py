"""Cells that a spreadsheet would take for formulas."""

import pytest

from moe_eval.files.cells import harmless


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+cmd", "'+cmd"),
        ("@SUM", "'@SUM"),
        ("-cat", "'-cat"),
        ("\t=1", "'\t=1"),
        ("-3.5", "-3.5"),
        ("+2", "+2"),
        ("a = b", "a = b"),
        ("", ""),
    ],
)
def test_formulas_become_text(text, cell):
    assert harmless(text) == cell
