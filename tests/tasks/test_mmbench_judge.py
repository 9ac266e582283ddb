"""MMBench's language model: what it is asked, what its replies mean, and what that makes of a run."""

import re
from pathlib import Path

import pytest
from moe_eval.tasks.mmbench import TASK

from moe_eval.images import NamedImage
from moe_eval.judge.record import JudgeRecord
from moe_eval.runs.records import ScoresRecord, read_record
from moe_eval.task import JudgeCall, Sample
from tests.asking import run_task
from tests.fake_backend import FakeBackend
from tests.judge_server import JudgeServer
from tests.moe_eval.test_cli import call
from tests.tasks.test_mmbench import tsv_row, write_tsv

PROTOCOLS = ["lmms-eval", "vlmevalkit"]
UNREADABLE = "It must be the animal that barks"


def sample(index: int = 7, gold: str | None = "A", rotations: int = 1, options=None, question="Which way?") -> Sample:
    options = options or {"A": "left", "B": "right"}
    meta = {"options": options, "rotations": rotations, "split": "dev"}
    name = str(index % 1_000_000)
    return Sample(str(index), question, (NamedImage(name),), gold, name, meta)


def dialogue(protocol: str, asked: Sample, response: str, replies: list[str]) -> tuple[list[JudgeCall], str]:
    """Calls and the letter in the end."""
    talk = TASK.protocol(protocol).judge.grade(asked, response)
    calls = [next(talk)]
    try:
        for reply in replies:
            calls.append(talk.send(reply))
    except StopIteration as done:
        return calls, done.value
    raise AssertionError("the dialogue goes on")


@pytest.mark.parametrize(("protocol", "none"), [("lmms-eval", "E"), ("vlmevalkit", "Z")])
def test_what_is_asked(protocol, none):
    calls, letter = dialogue(protocol, sample(), " back \n", ["B"])
    assert letter == "B"
    assert calls[0].prompt.startswith(
        "You are an AI assistant who will help me to match an answer with several options"
    )
    assert f"output {none}. Your should output a single uppercase character" in calls[0].prompt
    assert calls[0].prompt.endswith(
        "Example 3: \nQuestion: Which way??\nOptions: There are several options: \nA. left\nB. right\n\n"
        "Answer: back\nYour output: "
    )
    assert calls[0].temperature == 0


def test_options_that_are_missing_are_listed_as_the_originals_do():
    gaps = sample(options={"A": "x", "B": "nan", "D": "y"})
    assert "options: \nA. x\nB. nan\n\nAnswer" in dialogue("lmms-eval", gaps, "?", ["A"])[0][0].prompt
    assert "options: \nA. x\nD. y\n\nAnswer" in dialogue("vlmevalkit", gaps, "?", ["A"])[0][0].prompt


def test_vlmevalkit_asks_in_chinese_about_a_chinese_question():
    chinese = sample(question="图中是什么?")
    assert dialogue("vlmevalkit", chinese, "狗", ["A"])[0][0].prompt.startswith("你是一个帮助我匹配答案")
    assert dialogue("lmms-eval", chinese, "狗", ["A"])[0][0].prompt.startswith("You are an AI assistant")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("replies", "letter"),
    [(["B"], "B"), (["The answer is B."], "B"), (["", "B"], "B"), (["A or B", "who knows", "right"], "B")],
)
def test_a_reply_is_read_by_the_rules_and_asked_for_three_times(protocol, replies, letter):
    calls, found = dialogue(protocol, sample(), "back", replies)
    assert (len(calls), found) == (len(replies), letter)
    assert len(set(calls)) == 1


@pytest.mark.parametrize(("protocol", "letters"), [("lmms-eval", "ABCDE"), ("vlmevalkit", "ABZ")])
def test_after_three_tries_the_letter_is_random_but_repeatable(protocol, letters):
    found = [dialogue(protocol, sample(index), "back", ["?"] * 3)[1] for index in range(60)]
    assert set(found) == set(letters)
    assert found == [dialogue(protocol, sample(index), "back", ["?"] * 3)[1] for index in range(60)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_only_open_letters_of_questions_that_are_not_lost_are_asked(protocol):
    asked = [sample(q + r * 1_000_000, "AB"[r], 2, options={"A": "x1", "B": "y1"}) for q in (1, 2, 3) for r in (0, 1)]
    texts = ["A", "hm?", "B", "hm?", "A", "B"]  # question 1: right and open; 2: wrong and open; 3: right
    answers = dict(zip([one.id for one in asked], texts, strict=True))
    assert [one.id for one in TASK.protocol(protocol).judge.undecided(asked, answers)] == ["1000001"]


def test_llava_has_no_judge():
    assert TASK.protocol("llava").judge is None


# --- the command ------------------------------------------------------------------------------------------------

ROWS = [
    *(tsv_row(1, ("cat", "dog"), "B"), tsv_row(1_000_001, ("dog", "cat"), "A", image="1")),
    *(tsv_row(2, ("cat", "dog"), "B"), tsv_row(1_000_002, ("dog", "cat"), "A", image="2")),
]


@pytest.fixture(params=PROTOCOLS)
def run(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Question 1: one letter open; question 2: both right."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    answers = {"1": UNREADABLE, "1000001": "A", "2": "B", "1000002": "A"}
    data = TASK.load(f"tsv:{write_tsv(tmp_path / 'a.tsv', ROWS)}")
    run_task(TASK, request.param, data, FakeBackend(lambda asked: answers[asked.id]), tmp_path / "run")
    return tmp_path / "run"


def judge(capsys, run: Path, server: JudgeServer, *options: object) -> tuple[int, str, str]:
    return call(capsys, "judge", run, "--url", server.url, "--model", "m-1", "--cache", run.parent / "cache", *options)


def test_without_a_judge_there_is_a_number_and_the_open_letters_are_counted(run, capsys):
    scores = read_record(ScoresRecord, run / "scores.json")
    assert scores.headline.value == 50.0
    assert (scores.metrics["letters_unresolved"], scores.metrics["letters_by_judge"]) == (1, 0)
    assert scores.judge is None
    assert "letters_unresolved: 1" in call(capsys, "score", "mmbench", run, "--protocol", scores.protocol)[1]


def test_a_judge_reads_the_open_letter_and_is_named(run, capsys):
    with JudgeServer(lambda *_: "B") as server:
        code, out, err = judge(capsys, run, server)
        assert code == 0, err
        assert "judge m-1" in out
        assert "1 answers, 1 run: at least 1 calls" in out
        assert re.search(r"graded by m-1, 1 run, \d{4}-\d\d-\d\d", out)
        _, again, _ = judge(capsys, run, server)
    assert len(server.requests) == 1
    assert "at least 0 calls" in again
    scores = read_record(ScoresRecord, run / "scores.json")
    assert (scores.headline.value, scores.metrics["letters_by_judge"]) == (100.0, 1)
    assert scores.metrics["letters_unresolved"] == 0
    record = read_record(JudgeRecord, run / "judge.json")
    assert {name: answer.grades for name, answer in record.answers.items()} == {"1": ["B"]}


def test_a_wrong_letter_of_the_judge_loses_the_question(run, capsys):
    with JudgeServer(lambda *_: "A") as server:
        judge(capsys, run, server)
    assert read_record(ScoresRecord, run / "scores.json").headline.value == 50.0


def test_estimate_and_budget_hold_for_letters(run, capsys):
    with JudgeServer(lambda *_: "A") as server:
        code, _, err = judge(capsys, run, server, "--max-calls", 0)
    assert (code, len(server.requests)) == (2, 0)
    assert "before anything was asked" in err


def test_nothing_open_asks_nothing(tmp_path, capsys):
    data = TASK.load(f"tsv:{write_tsv(tmp_path / 'a.tsv', ROWS)}")
    run_task(TASK, "lmms-eval", data, FakeBackend(lambda asked: "B"), tmp_path / "run")
    code, out, _ = call(capsys, "judge", tmp_path / "run")
    assert code == 0
    assert "nothing to ask a judge" in out
