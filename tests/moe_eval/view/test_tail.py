"""A journal read while it is written: nothing twice, nothing torn, and anew where it was begun anew."""

from pathlib import Path

import pytest

from moe_eval.engine.backend import Response
from moe_eval.errors import UserError
from moe_eval.runs.journal import Journal, journal_line
from moe_eval.view.tail import JournalTail


def line(name: str, text: str = "yes") -> str:
    return journal_line(Response(name, text, tokens=1, finish_reason="stop")) + "\n"


@pytest.fixture
def tail(tmp_path: Path) -> JournalTail:
    return JournalTail(tmp_path / "responses.jsonl")


def test_what_is_new_is_taken_in(tail):
    assert not tail.read()  # there is no file yet
    tail.path.write_text(line("a"))
    assert tail.read()
    with tail.path.open("a") as stream:
        stream.write(line("b", "no"))
    assert tail.read()
    assert [(name, one["response"]) for name, one in tail.answers.items()] == [("a", "yes"), ("b", "no")]
    assert not tail.read()


def test_a_torn_line_waits_until_it_is_whole_or_cut_off_by_the_resumed_run(tail):
    tail.path.write_text(line("a") + line("b")[:10])
    tail.read()
    assert list(tail.answers) == ["a"]
    with Journal(tail.path) as journal:
        journal.append(Response("c", "no", tokens=1, finish_reason="stop"))
    tail.read()
    assert list(tail.answers) == ["a", "c"]


@pytest.mark.parametrize("anew", [line("x"), line("x") + line("y") + line("z"), ""])
def test_a_journal_begun_anew_is_read_anew_whatever_its_length(tail, anew):
    tail.path.write_text(line("a") + line("b"))
    tail.read()
    tail.path.unlink()
    tail.path.write_text(anew)
    assert tail.read()
    assert list(tail.answers) == [name for name in "xyz" if f'"{name}"' in anew]


def test_a_deleted_journal_is_empty(tail):
    tail.path.write_text(line("a"))
    tail.read()
    tail.path.unlink()
    assert tail.read()
    assert tail.answers == {}


@pytest.mark.parametrize("broken", ["{not json}\n", "[1]\n", '{"id": 3, "response": "yes"}\n'])
def test_a_broken_line_is_named_each_time_and_what_was_before_is_kept(tail, broken):
    tail.path.write_text(line("a") + broken)
    for _ in range(2):
        with pytest.raises(UserError, match="line 2"):
            tail.read()
    assert list(tail.answers) == ["a"]
    tail.path.write_text(line("a") + line("b"))
    tail.read()
    assert list(tail.answers) == ["a", "b"]
