"""What a certificate says: equal, within noise, or different."""

import json
import sys
from pathlib import Path

import pytest
from moe_eval.tasks.pope import TASK

from moe_eval.cli import main
from moe_eval.comparison.certificate import Certificate, certify_runs
from moe_eval.comparison.certificate_text import as_data, as_markdown
from moe_eval.errors import UserError
from moe_eval.runs.stored_run import StoredRun
from tests.asking import run_task
from tests.fake_backend import FakeBackend

DATA = TASK.load("mini").first(180)
IDS = [sample.id for sample in DATA.samples]


@pytest.fixture(autouse=True, scope="module")
def _quick_environment():
    """Describing the machine asks git and imports torch; the runs of these tests need neither."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moe_eval.runs.environment.git_commit", lambda: "0" * 40)
        patch.setattr("moe_eval.runs.environment.hardware", dict)
        yield


def stored(folder: Path, other: list[str], answer: str = "No", data=DATA) -> StoredRun:
    """A run that answers Yes, but `answer` to some questions."""
    run_task(TASK, "llava", data, FakeBackend(lambda request: answer if request.id in other else "Yes"), folder)
    return StoredRun.read(folder)


def certificate(tmp_path: Path, differ: list[str], control: list[str], answer: str = "No") -> Certificate:
    runs = {"generate": stored(tmp_path / "a", []), "fast": stored(tmp_path / "b", differ, answer)}
    (found,) = certify_runs(runs, (runs["generate"], stored(tmp_path / "c", control)), "generate")
    return found


def test_the_same_answers_are_equal(tmp_path):
    found = certificate(tmp_path, [], IDS[:9])
    assert (found.verdict, found.questions, found.differ, len(found.control)) == ("equal", 180, (), 9)


def test_no_more_than_the_control_is_within_noise(tmp_path):
    found = certificate(tmp_path, IDS[:3], IDS[2:6], answer="Yes, it is.")  # worth the same
    assert (found.verdict, found.differ, found.difference.value) == ("within noise", tuple(IDS[:3]), 0)


def test_a_few_more_than_the_control_may_be_chance_and_many_are_not(tmp_path):
    assert certificate(tmp_path / "few", IDS[:5], [], answer="Yes, it is.").verdict == "within noise"  # p = 2 / 2^5
    many = certificate(tmp_path / "many", IDS[:6], [], answer="Yes, it is.")
    assert (many.verdict, many.p_value) == ("different", pytest.approx(2 / 2**6))


def test_a_score_that_is_surely_another_is_different_whatever_the_control(tmp_path):
    most = [name for number, name in enumerate(IDS) if number % 7]
    found = certificate(tmp_path, most, most)
    assert (found.verdict, found.p_value) == ("different", 1)
    assert found.difference.high < 0


def test_other_questions_are_refused(tmp_path):
    runs = {"generate": stored(tmp_path / "a", []), "fast": stored(tmp_path / "b", [], data=DATA.first(36))}
    with pytest.raises(UserError, match="were asked different questions"):
        certify_runs(runs, (runs["generate"], runs["generate"]), "generate")


def test_what_is_shown(tmp_path):
    found = certificate(tmp_path, IDS[:6], IDS[:1])
    text = as_markdown([found], "generate, batches of 16 and of 1", 2)
    assert "held against: generate; control: generate, batches of 16 and of 1" in text
    assert "| 6 of 180 (3.33 %)" in text
    assert "| 1 of 180 (0.56 %)" in text
    assert "pope, fast: 2 of 6 that differ" in text
    assert text.count("| Yes ") == 2
    (data,) = as_data([found])
    assert (data["differ"], data["control"], data["verdict"], len(data["differing"])) == (6, 1, found.verdict, 6)
    assert data["differing"][0]["question"] == DATA.samples[0].question
    json.dumps(data)


def test_engines_of_this_project_are_certified(tmp_path, capsys):
    words = ["certify", "llava-nano", "--tasks", "pope", "--limit", "36", "--device", "cpu", "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as caught:
        main(words)
    out = capsys.readouterr().out
    assert caught.value.code == 0
    assert "| pope   | prefix   | 0 of 36 (0.00 %)      | 0 of 36 (0.00 %) |" in out
    (found,) = json.loads((tmp_path / "certificate.json").read_text())
    assert (found["engine"], found["verdict"]) == ("prefix", "equal")


def test_options_of_an_engine_reach_it_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    words = ["certify", "llava-nano", "--limit", "18", "--out", str(tmp_path), "--engines"]
    for more, message in (
        (["generate,prefix", "--engine-args", "max_num_seqs=2"], "none of generate,prefix has any"),
        (["generate,vllm", "--engine-args", "max_num_seq=2"], "did you mean max_num_seqs or"),
        (["generate,vllm", "--engine-args", "max_num_seqs=2"], "vLLM is not installed here"),
    ):
        with pytest.raises(SystemExit) as caught:
            main([*words, *more])
        assert caught.value.code == 2
        assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("engines", "message"),
    [
        ("prefix", "at least two are wanted"),
        ("generate,prefx", "unknown engine 'prefx': did you mean prefix?"),
        ("generate,openai:m", "openai:NAME@URL is wanted"),
        ("generate,openai:m@http://127.0.0.1:9/v1", "is the server running, and the URL right?"),
        ("generate,vllm", "vLLM is not installed here"),
    ],
)
def test_engines_that_are_none_are_refused_before_others_are_asked(tmp_path, capsys, monkeypatch, engines, message):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(SystemExit) as caught:
        main(
            ["certify", "llava-nano", "--engines", engines, "--limit", "18", "--device", "cpu", "--out", str(tmp_path)]
        )
    assert caught.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())
