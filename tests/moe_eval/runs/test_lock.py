"""Two at once: the second is told in one line, and nobody reads half a file."""

import threading

import pytest

from moe_eval.errors import UserError
from moe_eval.files.atomic import write_atomically
from moe_eval.runs.lock import only_process


def test_the_second_is_told(tmp_path):
    with only_process(tmp_path), pytest.raises(UserError, match="another process"), only_process(tmp_path):
        pass


def test_several_writers_of_one_file_leave_a_whole_one(tmp_path):
    path, contents = tmp_path / "scores.json", [str(number) * 50_000 for number in range(4)]
    seen: set[str] = set()
    threads = [
        threading.Thread(target=lambda text=text: [write_atomically(path, text) for _ in range(10)])
        for text in contents
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if path.exists():
            seen.add(path.read_text())
    assert seen
    assert seen <= set(contents)
    assert [file.name for file in tmp_path.iterdir()] == ["scores.json"]
