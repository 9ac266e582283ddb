"""`moe-eval check`: fine, worse or cannot tell, as exit code, log, JUnit XML and Markdown."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from moe_eval.comparison.gate import TaskVerdict, Verdict, check_runs, overall
from moe_eval.runs.stored_run import find_stored_runs
from tests.moe_eval.comparison.runs import DATA, make_run
from tests.moe_eval.test_cli import call

FINE, WORSE, CANNOT_TELL = 0, 1, 2


@pytest.fixture(autouse=True, scope="module")
def _quick_environment():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moe_eval.runs.environment.hardware", dict)
        yield


@pytest.fixture(scope="module")
def baseline(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("baseline"), lambda number, _: number % 20 == 0)


def check(capsys, run: Path, baseline: Path, *options: object) -> tuple[int, str]:
    code, out, err = call(capsys, "check", run, "--against", baseline, *options)
    return code, out + err


def test_the_same_answers_are_fine(capsys, baseline, tmp_path):
    run = make_run(tmp_path, lambda number, _: number % 20 == 0)
    code, out = check(capsys, run, baseline)
    assert code == FINE
    assert out.endswith("every answer is worth what it was\nfine\n")


def test_better_answers_are_fine(capsys, baseline, tmp_path):
    code, out = check(capsys, make_run(tmp_path), baseline, "--tolerance", 2)
    assert code == FINE
    assert "a drop beyond the tolerance 2 is excluded" in out


def test_better_answers_about_three_of_ten_pictures_may_be_chance(capsys, baseline, tmp_path):
    code, out = check(capsys, make_run(tmp_path), baseline)
    assert code == CANNOT_TELL
    assert "too few samples" in out


def test_a_model_that_has_lost_its_sight_is_caught(capsys, baseline, tmp_path):
    """A checkpoint whose vision tower was damaged says yes to everything."""
    run = make_run(tmp_path, lambda number, sample: sample.gold == "no")
    code, out = check(capsys, run, baseline)
    assert code == WORSE
    assert "is beyond the tolerance 0.5 (significant)" in out
    assert out.endswith("worse\n")
    assert "gold 'no', was 'no', is 'yes'" in out


def test_a_drop_beyond_the_tolerance_is_worse_even_if_it_may_be_chance(capsys, baseline, tmp_path):
    run = make_run(tmp_path, lambda number, _: number % 20 == 0 or number in (1, 3))
    code, out = check(capsys, run, baseline)
    assert code == WORSE
    assert "(may be chance)" in out


def test_a_significant_drop_is_worse_within_the_tolerance(capsys, baseline, tmp_path):
    run = make_run(tmp_path, lambda number, _: number % 20 == 0 or number % 9 == 0)
    code, out = check(capsys, run, baseline, "--tolerance", 50)
    assert code == WORSE
    assert "within the tolerance 50, but it is significant" in out


def test_too_few_samples_for_the_tolerance_cannot_tell(capsys, baseline, tmp_path):
    """As many won as lost: no drop, but one of several points is not excluded."""
    run = make_run(tmp_path, lambda number, _: (number % 20 == 0 and number > 60) or number in (1, 3, 7, 9))
    code, out = check(capsys, run, baseline)
    assert code == CANNOT_TELL
    assert "too few samples (180) for the tolerance 0.5: a drop of" in out
    assert check(capsys, run, baseline, "--tolerance", 20)[0] == FINE


def test_other_questions_cannot_tell(capsys, baseline, tmp_path):
    run = make_run(tmp_path, data=DATA.first(90))
    code, out = check(capsys, run, baseline)
    assert code == CANNOT_TELL
    assert "cannot tell  pope: cannot be compared: data: mini" in out


def test_a_task_that_was_not_run_cannot_tell(baseline):
    (verdict,) = check_runs({}, find_stored_runs(baseline), tolerance=0.5)
    assert (verdict.verdict, verdict.reason) == (Verdict.CANNOT_TELL, "the baseline has this task, the run does not")


def test_a_task_without_baseline_does_not_count(baseline):
    runs = find_stored_runs(baseline)
    assert [one.task for one in check_runs({**runs, "new": runs["pope"]}, runs, tolerance=0.5)] == ["pope"]


def test_worse_goes_before_cannot_tell():
    verdicts = [TaskVerdict(str(one), one, "") for one in (Verdict.FINE, Verdict.CANNOT_TELL, Verdict.WORSE)]
    assert overall(verdicts) is Verdict.WORSE
    assert overall(verdicts[:2]) is Verdict.CANNOT_TELL


def test_junit_has_a_failure(capsys, baseline, tmp_path):
    run = make_run(tmp_path / "run", lambda number, sample: sample.gold == "no")
    check(capsys, run, baseline, "--junit", tmp_path / "junit.xml")
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert dict(suite.attrib) == {"name": "moe-eval check", "tests": "1", "failures": "1", "errors": "0"}
    assert suite.find("testcase").attrib == {"classname": "fake", "name": "pope"}
    assert "beyond the tolerance" in suite.find("testcase/failure").attrib["message"]


def test_junit_has_an_error_for_what_cannot_be_told(capsys, baseline, tmp_path):
    run = make_run(tmp_path / "run", data=DATA.first(90))
    check(capsys, run, baseline, "--junit", tmp_path / "junit.xml")
    assert ElementTree.parse(tmp_path / "junit.xml").find("testcase/error").attrib["type"] == "cannot tell"


def test_the_summary_shows_what_was_lost(capsys, baseline, tmp_path):
    run = make_run(tmp_path / "run", lambda number, sample: sample.gold == "no")
    check(capsys, run, baseline, "--markdown", tmp_path / "summary.md")
    text = (tmp_path / "summary.md").read_text()
    assert text.startswith("## moe-eval check: worse\n")
    lost = sum(sample.gold == "no" and number % 20 != 0 for number, sample in enumerate(DATA.samples))
    assert f"### pope: 10 of {lost} answers that were lost" in text


def test_a_folder_without_runs_is_one_line(capsys, baseline, tmp_path):
    code, out = check(capsys, tmp_path, baseline)
    assert (code, out.count("\n")) == (2, 1)
