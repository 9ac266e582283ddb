"""`moe-eval judge`: from a run without a number to one with its judge's name beside it."""

import json
import re
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest
from moe_eval.tasks.mmvet import TASK
from PIL import Image

from moe_eval.judge.record import JudgeRecord, with_grades
from moe_eval.runs.lock import only_process
from moe_eval.runs.records import RunRecord, ScoresRecord, read_record
from tests.asking import run_task
from tests.fake_backend import FakeBackend
from tests.judge_server import Fault, JudgeServer
from tests.moe_eval.test_cli import call

QUESTIONS = 12


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")


def write_data(folder: Path, with_references: bool = True) -> Path:
    """MM-Vet in small, in LLaVA's layout."""
    (folder / "images").mkdir(parents=True)
    lines, metadata = [], {}
    for number in range(QUESTIONS):
        Image.new("RGB", (8, 8)).save(folder / "images" / f"v1_{number}.png")
        lines.append({"question_id": number, "image": f"v1_{number}.png", "text": f"What is {number}?"})
        metadata[f"v1_{number}"] = {"answer": str(number), "capability": ["rec", "math"][: 1 + number % 2]}
    (folder / "llava-mm-vet.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if with_references:
        (folder / "mm-vet.json").write_text(json.dumps(metadata))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    run_task(TASK, "llava", TASK.load(f"llava:{write_data(tmp_path / 'data')}"), FakeBackend(), folder)
    return folder


def judge(capsys, run: Path, server: JudgeServer, *options: object) -> tuple[int, str, str]:
    cache = ["--cache", run.parent / "cache"]
    return call(capsys, "judge", run, "--url", server.url, "--model", "judge-1", *cache, *options)


def odd_is_right(body: dict, number: int) -> str:
    asked = re.search(r"What is (\d+)\?", body["messages"][0]["content"].splitlines()[-1])
    return "1.0" if asked and int(asked[1]) % 2 else "0.0"


def test_a_run_without_judge_is_pending_and_says_how_to_go_on(run, capsys):
    assert read_record(ScoresRecord, run / "scores.json").headline.value is None
    _, out, _ = call(capsys, "score", "mmvet", run)
    assert "mean grade (%) pending" in out
    assert "0 of 12 answers; `moe-eval judge` grades the others" in out


def test_a_judged_run_has_its_number_and_names_the_judge(run, capsys):
    with JudgeServer(odd_is_right) as server:
        code, out, err = judge(capsys, run, server, "--runs", 2, "--concurrency", 3)
    assert code == 0, err
    assert "12 answers, 2 runs: at least 24 calls, about" in out
    assert "mean grade (%) 50.00" in out
    assert "graded by judge-1, 2 runs" in out
    assert set(server.keys) == {"Bearer from-the-environment"}
    assert server.most_at_once <= 3
    assert server.requests[0]["max_tokens"] == 3
    scores = read_record(ScoresRecord, run / "scores.json")
    record = read_record(JudgeRecord, run / "judge.json")
    assert date.fromisoformat(record.date)
    assert (scores.headline.value, scores.judge) == (50.0, f"judge-1, 2 runs, {record.date}")
    assert scores.metrics["capabilities"]["math"] == {"grade": 100.0, "samples": 6}
    assert (record.model, record.url, record.runs, record.calls) == ("judge-1", server.url, 2, 24)
    assert record.prompt.endswith("\nWhat is 0? | 0 | Yes | ")
    assert "graded by judge-1, 2 runs" in call(capsys, "score", "mmvet", run)[1]


def test_faults_cost_time_but_no_grade(run, capsys, monkeypatch):
    monkeypatch.setattr("moe_eval.chat.endpoint.LONGEST_WAIT", 0.01)
    faults = [Fault(429), Fault(500), Fault(body=b"garbage"), Fault(delay=0.6), Fault(hang_up=True)]

    def script(body: dict, number: int) -> str | Fault:
        return faults[number] if number < len(faults) else odd_is_right(body, number)

    with JudgeServer(script) as server:
        code, out, err = judge(capsys, run, server, "--timeout", 0.3)
    assert (code, "mean grade (%) 50.00" in out) == (0, True), err
    assert len(server.requests) == QUESTIONS + len(faults)


def test_a_judge_that_breaks_down_leaves_the_run_and_goes_on_later(run, capsys, monkeypatch):
    monkeypatch.setattr("moe_eval.chat.endpoint.LONGEST_WAIT", 0.01)
    with JudgeServer(lambda body, number: odd_is_right(body, number) if number < 5 else Fault(403, b"no")) as server:
        code, _, err = judge(capsys, run, server, "--concurrency", 1)
        assert code == 2
        assert "status 403: no (is the key right?). 5 of 12 gradings are done and kept" in err
        assert not (run / "judge.json").exists()
        server.script = odd_is_right
        _, out, _ = judge(capsys, run, server)
    assert "at least 7 calls" in out
    assert len(server.requests) == 5 + 1 + 7


def test_an_estimate_above_the_budget_asks_nothing(run, capsys):
    with JudgeServer(odd_is_right) as server:
        code, _, err = judge(capsys, run, server, "--max-calls", 11)
    assert (code, len(server.requests)) == (2, 0)
    assert "12 calls are more than max-calls 11, before anything was asked" in err


def test_grades_hold_for_the_answers_that_were_graded(run, capsys):
    with JudgeServer(odd_is_right) as server:
        judge(capsys, run, server)
    record = read_record(JudgeRecord, run / "judge.json")
    samples = TASK.load(read_record(RunRecord, run / "run.json").data.source).samples
    graded = with_grades(samples, {**dict.fromkeys(record.answers, "Yes"), "v1_3": "Something else"}, record)
    assert [sample.id for sample in graded if "grades" not in sample.meta] == ["v1_3"]


def test_nan_from_the_judge_leaves_the_cell_empty(run, capsys):
    with JudgeServer(lambda *_: "nan") as server:
        _, out, _ = judge(capsys, run, server)
    assert "pending" in out


def test_a_fresh_run_forgets_its_judge(run, capsys, tmp_path):
    with JudgeServer(odd_is_right) as server:
        judge(capsys, run, server)
    run_task(TASK, "llava", TASK.load(f"llava:{tmp_path / 'data'}"), FakeBackend(), run, fresh=True)
    assert not (run / "judge.json").exists()


def test_data_without_references_cannot_be_judged(tmp_path, capsys):
    data = TASK.load(f"llava:{write_data(tmp_path / 'data', with_references=False)}")
    run_task(TASK, "llava", data, FakeBackend(), tmp_path / "run")
    code, _, err = call(capsys, "judge", tmp_path / "run")
    assert code == 2
    assert "has no reference answer to v1_0, and the judge needs one" in err


def test_openai_wants_a_key(run, capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    code, _, err = call(capsys, "judge", run)
    assert code == 2
    assert "wants a key: put it in the environment variable OPENAI_API_KEY" in err


def test_a_task_without_judge_is_one_line(tmp_path, capsys):
    from moe_eval.tasks.pope import TASK as POPE

    run_task(POPE, "llava", POPE.load("mini").first(18), FakeBackend(), tmp_path / "run")
    code, _, err = call(capsys, "judge", tmp_path / "run")
    assert code == 2
    assert "pope under protocol llava is scored without a judge" in err


def test_the_table_names_the_judge_beside_the_number(run, capsys):
    with JudgeServer(odd_is_right) as server:
        judge(capsys, run, server)
    code, out, err = call(capsys, "table", run.parent, "--layout", "main", "--published", "none", "--format", "md")
    assert code == 0, err
    assert "50.0" in out
    assert re.search(r"^\d\. fake, Toolkit MM-Vet: graded by judge-1, 1 run, \d{4}-\d\d-\d\d$", out, re.MULTILINE)


def test_a_killed_judge_has_lost_no_reply_that_it_got(run, capsys):
    command = [sys.executable, "-m", "moe_eval", "judge", run, "--model", "judge-1", "--cache", run.parent / "cache"]
    answered: list[int] = []

    def slowly(body: dict, number: int) -> str:
        time.sleep(0.1)
        answered.append(number)
        return odd_is_right(body, number)

    with JudgeServer(slowly) as server:
        process = subprocess.Popen([*command, "--url", server.url, "--runs", "1", "--concurrency", "1"])
        while len(answered) < 4 and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        process.wait()
        before = len(server.requests)
        assert 4 <= before < QUESTIONS
        assert judge(capsys, run, server, "--runs", 1)[0] == 0
        assert len(server.requests) <= QUESTIONS + 1  # only what was in the air may be asked twice
    assert read_record(ScoresRecord, run / "scores.json").headline.value == 50.0


def test_two_judges_do_not_ask_at_once(run, capsys):
    with JudgeServer(odd_is_right) as server, only_process(run):
        code, _, stderr = judge(capsys, run, server)
    assert (code, len(server.requests)) == (2, 0)
    assert "another process" in stderr
