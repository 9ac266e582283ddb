"""VLMEvalKit's TSV: pictures in the row or in another one, opened when asked for; one line for what is wrong."""

import base64
import csv
import io
import random

import pytest
from PIL import Image

from moe_eval.errors import UnreadableImageError, UserError
from moe_eval.sources.tsv import read_tsv


def picture(colour: str, size: int = 8) -> str:
    stream = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def noisy_picture() -> str:
    """Large enough that its text is longer than the csv module's default limit of a cell."""
    stream = io.BytesIO()
    Image.frombytes("RGB", (256, 256), random.Random(0).randbytes(3 * 256 * 256)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def write(path, *rows, encoding="utf-8"):
    with path.open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream, delimiter="\t", lineterminator="\n").writerows(rows)
    return path


def test_pictures_are_decoded_from_their_row_or_the_row_referred_to(tmp_path):
    path = write(
        tmp_path / "a.tsv",
        ["index", "image", "question"],
        ["0", "2", "refers to a later row"],
        ["1", noisy_picture(), 'a "quoted"\tcell\nof two lines, in 日本語'],
        ["2", picture("red"), "after it"],
        ["3", "1", "refers to an earlier row"],
    )
    rows = read_tsv(path, ["question"])
    assert [row.line for row in rows] == [2, 3, 5, 6]
    assert rows[1].values == {"index": "1", "question": 'a "quoted"\tcell\nof two lines, in 日本語'}
    assert [row.image.open().size for row in rows] == [(8, 8), (256, 256), (8, 8), (256, 256)]
    assert rows[0].image.open().getpixel((0, 0)) == (255, 0, 0)
    assert rows[0].image.name == rows[2].image.name == "2"


def test_pictures_may_be_files(tmp_path):
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (5, 5)).save(tmp_path / "pictures" / "x.png")
    path = write(tmp_path / "a.tsv", ["index", "image_path"], ["7", "pictures/x.png"])
    assert read_tsv(path, [])[0].image.open().size == (5, 5)


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    path = write(tmp_path / "a.tsv", ["index", "image"], ["0", picture("red")], encoding="utf-8-sig")
    assert read_tsv(path, [])[0].image.open().size == (8, 8)


def test_cells_that_pandas_takes_for_missing_are_none(tmp_path):
    path = write(tmp_path / "a.tsv", ["index", "image", "A", "B"], ["0", picture("red"), "NA", "none"])
    assert read_tsv(path, [], ["A", "B", "C"])[0].values == {"index": "0", "A": None, "B": "none"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], r"a\.tsv: empty"),
        ([["index", "picture"]], r"a\.tsv: no column question, image \(it has index, picture\)"),
        ([["index", "image", "question"], ["0", "9", "?"]], r"line 2: column image refers to row '9'"),
        ([["index", "image", "question"], ["0", "0", "?"]], r"line 2: column image is no|refers to row"),
        ([["index", "image", "question"], ["0", "", "?"]], r"line 2: column image is empty"),
        ([["index", "image", "question"], ["0", "x" * 99, ""]], r"line 2: column question is empty"),
        ([["index", "image", "question"], ["0", "x" * 99]], r"line 2: 2 cells, but the header names 3 columns"),
        ([["index", "image", "question"], *[["0", "x" * 99, "?"]] * 2], r"line 3: index 0 is in line 2 already"),
    ],
)
def test_a_broken_file_gets_one_line_naming_row_and_column(tmp_path, rows, message):
    with pytest.raises(UserError, match=message) as caught:
        read_tsv(write(tmp_path / "a.tsv", *rows), ["question"])
    assert "\n" not in str(caught.value)


def test_a_chain_of_references_leads_nowhere(tmp_path):
    path = write(tmp_path / "a.tsv", ["index", "image"], ["0", picture("red")], ["1", "0"], ["2", "1"])
    with pytest.raises(UserError, match="line 4: column image refers to row '1'"):
        read_tsv(path, [])


def test_what_is_no_base64_is_found_when_it_is_opened(tmp_path):
    row = read_tsv(write(tmp_path / "a.tsv", ["index", "image"], ["5", "§" * 99]), [])[0]
    with pytest.raises(UnreadableImageError, match=r"a\.tsv row 5: column image is no base64"):
        row.image.open()


@pytest.mark.parametrize(("content", "message"), [(b"\xff\xfe\n", "line 1: not UTF-8"), (None, "cannot be read")])
def test_what_is_no_tsv_is_named(tmp_path, content, message):
    path = tmp_path / "a.tsv"
    if content:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_tsv(path, [])
