"""`moe-eval judge calibrate`, against a judge whose faults are known."""

import json
import re
from pathlib import Path

import pytest

from tests.judge_server import JudgeServer
from tests.moe_eval.judge.test_judge_command import QUESTIONS, write_data
from tests.moe_eval.test_cli import call

GRADES = [(2 + number % 8) / 10 for number in range(QUESTIONS)]
RELEASED = Path(__file__).parents[2] / "data" / "llava15_13b" / "mmvet_grades_13b.jsonl.gz"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


def write_answers(path: Path, **fields) -> Path:
    """Fields are lists, one entry per question."""
    rows = [
        {"question_id": number, "text": f"It is {number}.", **{name: values[number] for name, values in fields.items()}}
        for number in range(QUESTIONS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def lower_by(tenths: int):
    """A judge that knows the original grades."""

    def script(body: dict, number: int) -> str:
        asked = re.search(r"What is (\d+)\? \| \d+ \| It is \1\. \| $", body["messages"][0]["content"])
        return f"{GRADES[int(asked[1])] - tenths / 10:.1f}"

    return script


def calibrate(capsys, data: Path, server: JudgeServer, *arguments: object) -> tuple[int, str, str]:
    options = ["--data", f"llava:{data}", "--url", server.url, "--model", "judge-1", "--cache", data.parent / "cache"]
    return call(capsys, "judge", "calibrate", *arguments, *options)


def test_a_judge_that_is_a_tenth_lower_is_found_to_be_so(data, tmp_path, capsys):
    answers = write_answers(tmp_path / "a.jsonl", grades=[[grade, grade] for grade in GRADES])
    with JudgeServer(lower_by(1)) as server:
        code, out, err = calibrate(capsys, data, server, answers)
        assert code == 0, err
        assert "12 answers, 1 run: at least 12 calls, about" in out
        assert re.search(r"MM-Vet graded by judge-1, 1 run, \d{4}-\d\d-\d\d, protocol llava", out)
        assert "equal grades: 0.0 %; within 0.1: 100.0 %" in out
        assert "equal grades between the original's own runs: 100.0 %" in out
        assert "offset: -10.00 points, 95 % interval -10.00 to -10.00" in out
        assert "This judge grades lower than the original by 10.0 points" in out
        assert "do not compare with published ones" in out
        _, out, _ = calibrate(capsys, data, server, answers, "--json")  # from the cache
    assert len(server.requests) == QUESTIONS
    result = json.loads(out)
    assert (result["answers"], result["differs"]) == (QUESTIONS, True)
    assert result["offset"] == pytest.approx(-10)


def test_a_judge_like_the_original_has_no_offset(data, tmp_path, capsys):
    """With the grades in MM-Vet's own file beside the answers."""
    answers = write_answers(tmp_path / "a.jsonl")
    grades = tmp_path / "grade.json"
    grades.write_text(json.dumps({f"v1_{n}": {"model": ["gpt-4"], "score": [GRADES[n]]} for n in range(QUESTIONS)}))
    with JudgeServer(lower_by(0)) as server:
        code, out, err = calibrate(capsys, data, server, answers, "--grades", grades)
    assert code == 0, err
    assert "equal grades: 100.0 %" in out
    assert "No offset is seen" in out


def test_part_of_the_answers_is_enough(data, tmp_path, capsys):
    answers, grades = write_answers(tmp_path / "a.jsonl"), tmp_path / "grades.jsonl"
    grades.write_text("".join(json.dumps({"question_id": n, "grades": [GRADES[n]]}) + "\n" for n in range(4)))
    with JudgeServer(lower_by(0)) as server:
        _, out, _ = calibrate(capsys, data, server, answers, "--grades", grades)
    assert "4 of 12 answers" in out


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "line 1: has not both, question_id and grades, such as [0.5, 1.0]"),
        ({"grades": [[2.0]] * QUESTIONS}, "line 1: grades must be a list of numbers from 0 to 1, not [2.0]"),
        ({"grades": [[]] * QUESTIONS}, "line 1: grades must be a list of numbers from 0 to 1, not []"),
        ({"grades": [[1.0]] * QUESTIONS, "text": [""] * QUESTIONS}, "all texts are empty"),
        ({"grades": [[1.0]] * QUESTIONS, "question_id": [0] * QUESTIONS}, "line 2: v1_0 has grades already"),
    ],
)
def test_files_that_do_not_do_are_one_line(data, tmp_path, capsys, fields, message):
    with JudgeServer(lower_by(0)) as server:
        code, _, err = calibrate(capsys, data, server, write_answers(tmp_path / "a.jsonl", **fields))
    assert (code, len(server.requests)) == (2, 0)
    assert message in err


@pytest.mark.parametrize("content", ["[]", "{", '{"v1_0": 1}', '{"v1_0": {}}'])
def test_another_json_is_one_line(data, tmp_path, capsys, content):
    answers, grades = write_answers(tmp_path / "a.jsonl"), tmp_path / "grade.json"
    grades.write_text(content)
    with JudgeServer(lower_by(0)) as server:
        code, _, err = calibrate(capsys, data, server, answers, "--grades", grades)
    assert code == 2
    assert "not what MM-Vet's evaluator writes" in err


def test_a_judge_that_says_no_grade_is_one_line(data, tmp_path, capsys):
    answers = write_answers(tmp_path / "a.jsonl", grades=[[grade] for grade in GRADES])
    with JudgeServer(lambda *_: "nan") as server:
        code, _, err = calibrate(capsys, data, server, answers)
    assert code == 2
    assert "not one reply is a grade" in err


@pytest.mark.parametrize("task", ["mmbench", "pope"])
def test_other_tasks_are_not_graded(data, tmp_path, capsys, task):
    code, _, err = call(capsys, "judge", "calibrate", RELEASED, "--task", task)
    assert code == 2
    assert "is not graded with numbers; mmvet is" in err


def test_the_released_grades_alone_say_what_is_missing(data, capsys):
    code, _, err = call(capsys, "judge", "calibrate", RELEASED, "--data", f"answers:{RELEASED}")
    assert code == 2
    assert "all texts are empty: grades alone cannot be judged again" in err
