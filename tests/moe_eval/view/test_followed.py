"""What is told of a run at every point of its life."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from moe_eval.evaluation import carry_out_shard
from moe_eval.registry import find_task
from moe_eval.runs.answering import by_group
from moe_eval.runs.plan import Plan, run_folder
from moe_eval.runs.records import RunRecord, ScoresRecord, read_record, write_record
from moe_eval.runs.shard import Shard
from moe_eval.task import Stopping
from moe_eval.view.followed import FollowedRun
from moe_eval.view.watch import Watch
from tests.asking import run_task
from tests.fake_backend import FakeBackend
from tests.moe_eval.view.conftest import QUESTIONS


def followed(folder: Path) -> FollowedRun:
    run = FollowedRun(folder, "model/pope")
    run.update()
    run.score()
    run.update()
    return run


def test_a_finished_run_has_its_own_scores(answer):
    folder = answer()
    run, scores = followed(folder), read_record(ScoresRecord, folder / "scores.json")
    assert run.finished
    assert run.snapshot["state"] == "finished"
    assert run.snapshot["answered"] == run.snapshot["asked"] == QUESTIONS
    assert run.snapshot["score"]["value"] == scores.headline.value
    assert run.snapshot["score"]["low"] == scores.intervals["headline"].low


def test_a_run_that_goes_on_is_scored_over_whole_pictures(answer):
    run = followed(answer(dies_after=40))
    assert run.snapshot["state"] == "running"
    assert run.snapshot["answered"] == 40
    assert run.snapshot["score"]["questions"] == 36
    assert run.snapshot["score"]["metric"] == "mean F1 (%)"
    assert run.snapshot["score"]["low"] < run.snapshot["score"]["value"] < run.snapshot["score"]["high"]


def test_scores_of_fewer_questions_are_not_those_of_a_run_that_is_asked_more(answer, tmp_path):
    folder = answer()
    run = followed(folder)
    assert run.finished
    assert run.snapshot["newest"] == []  # there is the report for that
    record = read_record(RunRecord, folder / "run.json")
    more = record.data.model_copy(update={"samples": 594, "fingerprint": "sha256:of all"})
    write_record(record.model_copy(update={"data": more}), folder / "run.json")
    run.update()
    assert not run.finished
    assert (run.snapshot["answered"], run.snapshot["asked"]) == (QUESTIONS, 594)


def test_a_run_that_may_stop_early_says_by_what_rule(tmp_path):
    dataset = find_task("pope").load("mini").stopped(Stopping("until=3", 0, 594, 1.1)).first(36)
    folder = run_folder(tmp_path, "model", "pope")
    run_task(find_task("pope"), "llava", dataset, FakeBackend(lambda request: "Yes"), folder)
    assert followed(folder).snapshot["until"] == {"rule": "until=3", "of": 594}


def test_before_the_first_picture_is_done_there_is_no_score(answer):
    assert followed(answer(dies_after=5)).snapshot["score"] is None


def test_the_newest_answers_come_first_with_question_and_worth(answer):
    run = followed(answer(dies_after=7))
    newest = run.snapshot["newest"]
    samples = by_group(find_task("pope").load("mini").samples)
    assert [one["question"] for one in newest] == [sample.question for sample in samples[6:0:-1]]
    assert {one["worth"] for one in newest} <= {0.0, 1.0}
    assert run.find_sample(newest[0]["id"]).id == samples[6].id
    assert run.find_sample("another") is None


def test_one_that_was_killed_is_silent_and_goes_on_when_it_is_resumed(answer):
    folder = answer(dies_after=20)
    for name in ("run.json", "responses.jsonl"):
        os.utime(folder / name, (time.time() - 300,) * 2)
    run = followed(folder)
    assert run.snapshot["state"] == "silent"
    assert 290 < time.time() - run.snapshot["since"] < 310
    answer(dies_after=10)
    run.update()
    assert (run.snapshot["state"], run.snapshot["answered"], run.snapshot["sessions"]) == ("running", 30, 2)
    answer()
    run.update()
    assert (run.snapshot["state"], run.snapshot["answered"]) == ("finished", QUESTIONS)


def test_one_that_ended_by_itself_without_scores_is_stopped_or_all_answered(answer):
    folder = answer()
    (folder / "scores.json").unlink()
    assert followed(folder).snapshot["state"] == "answered"
    lines = (folder / "responses.jsonl").read_text().splitlines(keepends=True)
    (folder / "responses.jsonl").write_text("".join(lines[:10]))
    assert followed(folder).snapshot["state"] == "stopped"


def test_a_rate_is_told_once_answers_have_come(answer):
    folder = answer(dies_after=10)
    run = followed(folder)
    assert run.snapshot["rate"] is None
    answer(dies_after=10)
    run.update()
    assert run.snapshot["rate"] > 0
    assert run.snapshot["left"] == pytest.approx((QUESTIONS - 20) / run.snapshot["rate"])


def test_the_version_grows_with_what_is_new_only(answer):
    folder = answer(dies_after=10)
    run = followed(folder)
    before = run.version
    run.update()
    assert run.version == before
    answer(dies_after=1)
    run.update()
    assert run.version == before + 1


@pytest.mark.parametrize("name", ["run.json", "responses.jsonl", "scores.json"])
def test_a_damaged_file_is_told_in_one_line_until_it_is_mended(answer, name):
    folder = answer()
    if name == "responses.jsonl":  # a finished run's journal is not read
        (folder / "scores.json").unlink()
    path = folder / name
    content = path.read_bytes()
    path.write_text('{"id": 1,\n')
    run = followed(folder)
    assert run.snapshot["state"] == "broken"
    assert name in run.snapshot["note"]
    assert "\n" not in run.snapshot["note"]
    path.write_bytes(content)
    os.utime(path, (time.time() + 5,) * 2)
    run.update()
    assert run.snapshot["state"] in ("finished", "answered")


def test_data_that_are_gone_leave_progress_and_answers(answer):
    folder = answer(dies_after=20)
    record = json.loads((folder / "run.json").read_text())
    record["data"]["source"] = "llava:/gone"
    (folder / "run.json").write_text(json.dumps(record))
    run = followed(folder)
    assert run.snapshot["note"].startswith("not scored: ")
    assert run.snapshot["score"] is None
    assert (run.snapshot["answered"], len(run.snapshot["newest"])) == (20, 6)


def test_shards_are_one_run(tmp_path):
    task = find_task("pope")
    for number in (1, 2, 3):
        data = task.load("mini").first(QUESTIONS)
        plan = Plan("fake", task, "llava", "mini", data=data, shard=Shard(number, 3), at=tmp_path / "fake" / "pope")
        carry_out_shard(plan, FakeBackend())
        watch = Watch(tmp_path)
        watch.look()
        assert list(watch.runs) == ["fake/pope"]
        watch.score()
        watch.look()
        snapshot = watch.runs["fake/pope"].snapshot
        assert (snapshot["answered"], snapshot["asked"], len(snapshot["shards"])) == (18 * number, QUESTIONS, number)
        assert snapshot["score"]["questions"] == 18 * number


def test_runs_come_and_go(answer, tmp_path):
    watch = Watch(tmp_path)
    watch.look()
    assert watch.runs == {}
    folder = answer()
    watch.look()
    assert list(watch.runs) == ["guesser/pope"]
    shutil.rmtree(folder)
    watch.look()
    assert watch.runs == {}
