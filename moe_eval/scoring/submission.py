"""Files that evaluation servers accept, checked before they are written."""

import io
import re
from collections.abc import Sequence

__all__ = ["write_xlsx"]

UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What XML, and so an xlsx file, cannot hold."""

LONGEST_CELL = 32767


def write_xlsx(header: Sequence[str], rows: Sequence[Sequence[int | str]]) -> bytes:
    """A workbook of one sheet with a header line.

    Text stays text (an answer "=1+1" is no formula); characters that the format cannot hold are left out, and cells
    are cut at its limit of 32,767 characters.
    """
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    workbook = Workbook(write_only=True)
    sheet = workbook.create_sheet("Sheet1")
    sheet.append(list(header))
    for row in rows:
        cells = []
        for value in row:
            if isinstance(value, str):
                value = UNWRITABLE.sub("", value)[:LONGEST_CELL]
            cell = WriteOnlyCell(sheet, value)
            if isinstance(value, str):
                cell.data_type = "s"
            cells.append(cell)
        sheet.append(cells)
    stream = io.BytesIO()
    workbook.save(stream)
    return stream.getvalue()
