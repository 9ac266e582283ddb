"""`moe-eval report` as it is typed."""

import json
from pathlib import Path

import pytest

from moe_eval.commands.import_answers import import_answers
from tests.moe_eval.report.conftest import QUESTIONS
from tests.moe_eval.report.test_page import Elements
from tests.moe_eval.test_cli import call

RELEASED = Path(__file__).parents[2] / "data" / "llava15_13b" / "mme.jsonl.gz"


def test_one_file_is_written(runs, tmp_path, capsys):
    out = tmp_path / "new" / "report.html"
    code, text, err = call(capsys, "report", runs, "--out", out)
    assert code == 0, err
    assert f"{out}: 2 runs, {QUESTIONS} samples" in text
    assert "yes-sayer" in out.read_text(encoding="utf-8")


def test_runs_that_are_left_out_are_named(runs, tmp_path, capsys):
    (runs / "rambler" / "pope" / "scores.json").unlink()
    code, text, _ = call(capsys, "report", runs, "--out", tmp_path / "report.html")
    assert code == 0
    assert "left out: " in text
    assert "rambler" in text


@pytest.mark.slow  # all of MME, with its intervals
def test_imported_answers_have_a_report_without_pictures(tmp_path, capsys):
    import_answers("mme", [RELEASED], "llava-1.5-13b", None, None, None, tmp_path / "runs", False, False)
    out = tmp_path / "report.html"
    assert call(capsys, "report", tmp_path / "runs", "--out", out)[0] == 0
    parsed = Elements(out.read_bytes())
    assert "1531.32" in parsed.text
    assert "No pictures are shown, for the source of the questions has none." in parsed.text
    assert json.loads(parsed.scripts["meta"])["sets"][0]["size"] == 2374
    assert "pictures-0" not in parsed.scripts


def test_a_run_that_does_not_exist(tmp_path, capsys):
    code, _, err = call(capsys, "report", tmp_path / "nowhere")
    assert code == 2
    assert "nowhere: no run in it" in err


def test_a_folder_as_out(runs, tmp_path, capsys):
    code, _, err = call(capsys, "report", runs, "--out", tmp_path)
    assert code == 2
    assert "is a folder; name a file" in err
