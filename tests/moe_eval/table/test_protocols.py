"""The layout `protocols`: stored answers under every way of scoring."""

from pathlib import Path

import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.commands.import_answers import import_answers
from moe_eval.table.protocols import protocols_table
from tests.asking import run_task
from tests.fake_backend import FakeBackend
from tests.run_folders import write_run


@pytest.fixture(scope="module")
def verbose_run(tmp_path_factory):
    """Answers that only LLaVA's scorer and VLMEvalKit's understand: `Yes, there is.`"""
    folder = tmp_path_factory.mktemp("runs") / "fake" / "pope"
    run_task(TASK, "llava", TASK.load("mini").first(60), FakeBackend(lambda request: "Yes, there is."), folder)
    return folder


def test_the_scorers_are_told_apart(verbose_run):
    grid = protocols_table([verbose_run])
    (row,) = grid.rows
    value = {heading.name: cell.value for heading, cell in zip(grid.headings, row, strict=True)}
    assert value["llava"] == pytest.approx(200 / 3)
    assert value["lmms-eval"] == 0
    assert value["spread"] == pytest.approx(200 / 3)


def test_scorers_that_read_what_is_not_there_have_no_number(tmp_path):
    released = Path(__file__).parents[2] / "data" / "llava15_13b" / "scienceqa.jsonl.gz"
    import_answers("scienceqa", [released], "m", None, None, None, tmp_path, False, False)
    grid = protocols_table([tmp_path / "m" / "scienceqa"], intervals=False)
    (row,) = grid.rows
    assert [heading.name for heading in grid.headings[4:-1]] == ["llava", "lmms-eval"]
    assert "SQA-IMG: not scored as by vlmevalkit" in row[0].notes[0]


def test_a_run_whose_questions_are_not_here_keeps_its_own_number(tmp_path):
    """There is no such hub in a test."""
    folder = write_run(tmp_path / "run", "pope", 61.5)
    (folder / "responses.jsonl").write_text("")
    (row,) = protocols_table([folder]).rows
    assert any(note.startswith("only the run's own scores: ") for note in row[0].notes)
    assert [cell.text for cell in row[4:]] == ["61.50", ""]
