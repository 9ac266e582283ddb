"""What is read of run folders, and what is said of those that tell less."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from moe_eval.errors import UserError
from moe_eval.images import NamedImage
from moe_eval.registry import find_task
from moe_eval.report.runs import find_run_folders, read_run, read_runs
from tests.asking import run_task
from tests.fake_backend import FakeBackend
from tests.moe_eval.commands.test_submit import make_mmvet
from tests.moe_eval.report.conftest import QUESTIONS, answer_pope


def change(path: Path, **fields) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_run_has_its_answers_data_and_scores_under_every_protocol(runs):
    run = read_run(runs / "rambler" / "pope")
    assert len(run.answers) == QUESTIONS
    assert [sample.id for sample in run.dataset.samples] == [str(entry["id"]) for entry in run.scores.samples]
    assert list(run.by_protocol) == list(find_task("pope").text_protocols)
    assert run.title == "POPE"


def test_other_protocols_give_what_scoring_with_them_gives(runs):
    run = read_run(runs / "rambler" / "pope")
    protocol = find_task("pope").protocol("lmms-eval")
    scores = [protocol.score(sample, run.answers[sample.id]) for sample in run.dataset.samples]
    assert run.by_protocol["lmms-eval"].value == protocol.aggregate(scores).headline


def test_data_that_changed_since_leave_what_the_folder_holds(runs):
    path = runs / "rambler" / "pope" / "run.json"
    data = json.loads(path.read_text())["data"]
    change(path, data={**data, "fingerprint": "sha256:other"})
    run = read_run(path.parent)
    assert run.dataset is None
    assert list(run.by_protocol) == ["llava"]
    assert len(run.answers) == QUESTIONS
    assert any("mini no longer holds the questions that were asked" in note for note in run.notes)


def test_data_that_are_gone_leave_what_the_folder_holds(runs):
    path = runs / "rambler" / "pope" / "run.json"
    change(path, data={**json.loads(path.read_text())["data"], "source": "llava:/nowhere"})
    run = read_run(path.parent)
    assert run.dataset is None
    assert any("cannot be loaded any more" in note and "/nowhere" in note for note in run.notes)


def test_a_task_that_is_not_installed_leaves_what_the_folder_holds(runs):
    change(runs / "rambler" / "pope" / "run.json", task="elsewhere")
    run = read_run(runs / "rambler" / "pope")
    assert (run.title, run.dataset) == ("elsewhere", None)
    assert any("the task is not installed here" in note for note in run.notes)


def test_a_hidden_gold_is_pending_and_marks_nothing(tmp_path):
    run = read_run(make_mmvet(tmp_path, 3))
    assert run.by_protocol[run.run.protocol].value is None
    assert any("The headline is pending" in note for note in run.notes)
    assert any("none is marked right or wrong" in note for note in run.notes)


def test_an_unfinished_run_is_left_out_with_its_progress(runs):
    (runs / "rambler" / "pope" / "scores.json").unlink()
    shown, left_out = read_runs(find_run_folders([runs]))
    assert [run.run.model.name for run in shown] == ["yes-sayer"]
    assert f"not finished, {QUESTIONS} of {QUESTIONS} questions are answered" in left_out[0].reason


def test_a_damaged_run_does_not_spoil_the_others(runs):
    (runs / "rambler" / "pope" / "scores.json").write_text("{")
    shown, left_out = read_runs(find_run_folders([runs]))
    assert len(shown) == 1
    assert "scores.json" in left_out[0].reason


def test_damaged_runs_alone_are_an_error(runs):
    (runs / "rambler" / "pope" / "scores.json").write_text("{")
    with pytest.raises(UserError, match="not one of 1 runs can be shown, the first because"):
        read_runs([runs / "rambler" / "pope"])


def test_a_folder_without_runs_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"no run in it \(no run.json\)"):
        find_run_folders([tmp_path])


def test_questions_without_answers_are_counted(tmp_path):
    task, data = find_task("pope"), find_task("pope").load("mini").first(QUESTIONS)
    first, *others = data.samples
    data = replace(data, samples=[replace(first, images=(NamedImage(first.images[0].name),)), *others])
    run_task(task, "llava", data, FakeBackend(), tmp_path, allow_missing=True)
    assert f"1 of {QUESTIONS} questions have no answer and are left out." in read_run(tmp_path).notes


def test_a_prompt_that_is_not_todays_is_said(runs):
    folder = answer_pope(runs, "asked-otherwise", lambda request: "Yes")
    change(folder / "run.json", prompt={"fingerprint": "sha256:other", "example": "?"})
    assert any("What exactly was asked is not recorded" in note for note in read_run(folder).notes)
