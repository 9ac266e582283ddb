"""Files of items are indexed by position, whatever their layout, and what is no such file is named in one line."""

import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moellava.training.errors import TrainingError
from moellava.training.files import DataFile, ItemFile, scan

VALUES = st.dictionaries(st.text(max_size=3), st.text() | st.integers() | st.lists(st.text(), max_size=2), max_size=3)


@given(st.lists(VALUES, max_size=5), st.sampled_from([None, 1, 4]), st.booleans(), st.integers(1, 40))
def test_positions_lead_to_the_items(tmp_path_factory, items, indent, ascii_only, chunk):
    path = tmp_path_factory.mktemp("scan") / "items.json"
    path.write_text(json.dumps(items, indent=indent, ensure_ascii=ascii_only), encoding="utf-8", newline="")
    found = list(scan(path, chunk))
    assert [value for _, _, value in found] == items
    assert [json.loads(path.read_bytes()[start:end]) for start, end, _ in found] == items


@given(st.lists(VALUES, max_size=5), st.integers(1, 40))
def test_json_lines_are_read_too(tmp_path_factory, items, chunk):
    path = tmp_path_factory.mktemp("scan") / "items.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    assert [value for _, _, value in scan(path, chunk)] == items


def test_only_the_chosen_items_are_read_and_survive_pickling(tmp_path: Path):
    path = tmp_path / "items.json"
    path.write_text(json.dumps([{"id": name} for name in "abc"]))
    places = [(number, start, end) for number, (start, end, _) in enumerate(scan(path))]
    file = ItemFile(DataFile(path), [places[0], places[2]])
    assert file[1] == (2, {"id": "c"})
    assert pickle.loads(pickle.dumps(file))[0] == (0, {"id": "a"})


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b'{"id": 1}', "is no JSON list"),
        (b"", "ends in the middle of its list, after item 0"),
        (b'[{"id": 1}', "ends in the middle of its list, after item 1"),
        (b'[{"id": 1}, {"id": ]', "item 2, from byte 12 on"),
        (b'[{"id": "\xff"}]', "is not UTF-8"),
        (b'[{"id": 1}] \n[{"id": 2}]', "its list ends after item 1, and more follows at byte 13"),
        (b'[{"id": 1}], {"id": 2}]', "its list ends after item 1, and more follows at byte 11"),
        (b'[{"id": ' + b"[" * 200_000, "item 1, from byte 1 on: nested too deeply"),
    ],
)
def test_what_is_no_list_of_items_is_one_line(tmp_path: Path, content: bytes, complaint: str):
    path = tmp_path / "items.json"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=complaint) as error:
        list(scan(path))
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(TrainingError, match=r"absent\.json: No such file"):
        list(scan(tmp_path / "absent.json"))


@pytest.mark.parametrize("chunk", [1, 5, 1000])
def test_blank_space_behind_the_list_is_none(tmp_path: Path, chunk: int):
    path = tmp_path / "items.json"
    path.write_text('[{"id": 1}]\n \t\r\n', newline="")
    assert [value for _, _, value in scan(path, chunk)] == [{"id": 1}]
