"""A run that cannot be read holds up no other."""

import pytest

from moe_eval.errors import UserError
from moe_eval.runs.stored_run import find_stored_runs
from moe_eval.table.measured import find_runs
from tests.run_folders import write_run


@pytest.fixture
def runs(tmp_path):
    write_run(tmp_path / "pope", "pope", 80.0)
    write_run(tmp_path / "gqa", "gqa", 60.0)
    (tmp_path / "gqa" / "scores.json").write_text('{"task": ')
    return tmp_path


def test_it_is_named_with_its_cure_and_left_out(runs, capsys):
    assert [folder.name for folder in find_runs([runs])] == ["pope"]
    said = capsys.readouterr().err
    assert said.startswith("left out: ")
    assert "gqa/scores.json" in said
    assert "moe-eval score TASK RUN --write" in said


def test_alone_it_is_an_error(runs):
    with pytest.raises(UserError, match=r"gqa/scores\.json"):
        find_runs([runs / "gqa"])


def test_a_gate_cannot_do_without_it_and_a_comparison_can(runs):
    told: list[UserError] = []
    assert list(find_stored_runs(runs, told.append)) == ["pope"]
    assert len(told) == 1
    with pytest.raises(UserError, match=r"gqa/scores\.json"):
        find_stored_runs(runs)
