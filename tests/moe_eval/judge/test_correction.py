"""A judge's score corrected by gold grades: exact cases, a biased judge, and what is refused."""

import json

import numpy as np
import pytest

from moe_eval.judge.correction import correct
from moe_eval.runs.stored_run import StoredRun
from tests.moe_eval.comparison.runs import make_run
from tests.moe_eval.test_cli import call
from tests.run_folders import write_run


def grades(count: int, seed: int = 0) -> dict[str, float]:
    values = np.random.default_rng(seed).integers(0, 11, count) / 10
    return {str(number): float(value) for number, value in enumerate(values)}


def test_a_judge_that_is_a_tenth_lower_is_corrected_by_a_tenth():
    true = grades(200)
    judged = {name: value - 0.1 for name, value in true.items()}
    gold = {name: true[name] for name in list(true)[:40]}
    result = correct(judged, gold)
    assert result.weight == pytest.approx(160 / 200, abs=0.1)  # 1 / (1 + n / N), as the judge varies like gold
    assert result.value == pytest.approx(100 * np.mean(list(true.values())), abs=2)
    assert result.low < 100 * np.mean(list(true.values())) < result.high
    assert result.high - result.low < 0.65 * (result.gold_high - result.gold_low)


def test_a_judge_that_says_the_same_of_everything_does_not_count():
    result = correct(
        dict.fromkeys(grades(100), 0.5), {name: value for name, value in grades(100).items() if int(name) < 30}
    )
    assert result.weight == 0
    assert result.value == pytest.approx(result.gold)


def test_a_judge_that_is_wrong_at_random_costs_little():
    result = correct(grades(100, seed=1), {name: value for name, value in grades(100).items() if int(name) < 30})
    assert result.weight < 0.3
    assert result.high - result.low < 1.2 * (result.gold_high - result.gold_low)


def test_gold_grades_that_are_all_right_do_not_prove_that_all_others_are():
    judged = dict.fromkeys(grades(200), 1.0)
    result = correct(judged, dict.fromkeys(list(judged)[:20], 1.0))
    assert (result.value, result.high, result.weight) == (100, 100, 0)
    assert 75 < result.low < 95
    assert 75 < result.gold_low < 95


def test_intervals_hold_where_nearly_all_is_right():
    """Right or wrong, 95 % right, the judge right about 95 % of them; 20 gold grades show no error in a third of the draws."""
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        true = generator.random(200) < 0.95
        judged = np.where(generator.random(200) < 0.95, true, ~true)
        named = {str(number): float(value) for number, value in enumerate(judged)}
        result = correct(named, {str(number): float(true[number]) for number in range(20)})
        held += result.low <= 95 <= result.high
    assert held > 186  # 93 %


@pytest.mark.parametrize(
    ("known", "says"), [(0, "0 answers have gold"), (4, "4 answers have gold"), (50, "every answer")]
)
def test_too_few_and_all_are_refused(known, says):
    with pytest.raises(ValueError, match=says):
        correct(grades(50), {name: value for name, value in grades(50).items() if int(name) < known})


@pytest.fixture
def run(tmp_path):
    samples = [
        {"id": f"v1_{name}", "group": name, "score": value, "grade_1": value} for name, value in grades(60).items()
    ]
    return write_run(tmp_path / "run", "mmvet", 50.0, samples=samples, judge="gpt-4o, 1 run")


def write_gold(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_command_corrects_a_run(run, tmp_path, capsys):
    rows = [
        {"question_id": f"v1_{name}", "grades": [min(1.0, value + 0.1)] * 2}
        for name, value in list(grades(60).items())[:20]
    ]
    code, out, err = call(
        capsys, "judge", "correct", run, "--gold", write_gold(tmp_path / "gold.jsonl", rows), "--json"
    )
    assert code == 0, err
    found = json.loads(out)
    assert (found["judge"], found["graded"], found["answers"]) == ("gpt-4o, 1 run", 20, 60)
    assert found["value"] > found["judged"]


def test_a_file_with_no_gold_grades_is_one_line(run, tmp_path, capsys):
    code, _, err = call(capsys, "judge", "correct", run, "--gold", write_gold(tmp_path / "gold.jsonl", []))
    assert code == 2
    assert "gold.jsonl: 0 answers have gold grades, and at least 5 are needed" in err


def test_gold_grades_of_other_answers_are_one_line(run, tmp_path, capsys):
    gold = write_gold(tmp_path / "gold.jsonl", [{"question_id": f"other_{n}", "grades": [1.0]} for n in range(9)])
    code, _, err = call(capsys, "judge", "correct", run, "--gold", gold)
    assert code == 2
    assert "gold.jsonl: none of its 9 ids is one of" in err


def test_a_run_that_was_graded_by_rules_is_one_line(tmp_path, capsys):
    samples = [{"id": name, "group": name, "score": value} for name, value in grades(20).items()]
    run = write_run(tmp_path / "run", "mmvet", 50.0, samples=samples)
    code, _, err = call(capsys, "judge", "correct", run, "--gold", write_gold(tmp_path / "gold.jsonl", []))
    assert code == 2
    assert "mmvet was graded by its rules, not by a judge: nothing to correct" in err


def test_a_task_without_a_judge_is_one_line(tmp_path, capsys):
    folder = make_run(tmp_path / "run") / "pope"
    code, _, err = call(capsys, "judge", "correct", folder, "--gold", folder / "responses.jsonl")
    assert code == 2
    assert "pope under protocol llava is not graded by a judge" in err


def test_letters_are_corrected_question_by_question(tmp_path, capsys):
    """Two rotations a question; the judge read B where A was meant, in every second question."""
    samples = [
        {
            **{"id": str(rotation * 1_000_000 + question), "group": str(question), "question": question},
            **{"rotation": rotation, "rotations": 2, "prediction": "AB"[question % 2], "gold": "A"},
            **{"correct": int(question % 2 == 0), "unresolved": 0, "by_judge": 1},
        }
        for question in range(40)
        for rotation in range(2)
    ]
    run = write_run(tmp_path / "run", "mmbench", 50.0, protocol="vlmevalkit", samples=samples)
    assert StoredRun.read(run).protocol.judge
    rows = [{"question_id": row["id"], "grades": ["A"]} for row in samples if int(row["question"]) < 10]
    code, out, err = call(
        capsys, "judge", "correct", run, "--gold", write_gold(tmp_path / "gold.jsonl", rows), "--json"
    )
    assert code == 0, err
    assert json.loads(out)["gold"] == 100
    assert json.loads(out)["judged"] == 50
