"""The layout `headlines`: tasks that no published table has."""

from tests.moe_eval.test_cli import call
from tests.run_folders import write_run


def test_runs_of_no_benchmark_of_the_papers_get_a_table_of_their_own(capsys, tmp_path):
    write_run(tmp_path / "a", "easyvqa", 97.6)
    write_run(tmp_path / "b", "another", 12.3)
    code, out, _ = call(capsys, "table", tmp_path, "--format", "csv")
    assert code == 0
    header, row = out.splitlines()[:2]
    assert "another,easyvqa" in header
    assert "12.3,97.6" in row


def test_a_run_of_the_papers_tasks_beside_them_gets_the_papers_table_unless_asked(capsys, tmp_path):
    write_run(tmp_path / "a", "easyvqa", 97.6)
    write_run(tmp_path / "b", "gqa", 61.1)
    assert "97.6" not in call(capsys, "table", tmp_path, "--published", "none")[1]
    header, row = call(capsys, "table", tmp_path, "--layout", "headlines", "--format", "csv")[1].splitlines()[:2]
    assert "easyvqa,gqa" in header
    assert "97.6,61.1" in row
