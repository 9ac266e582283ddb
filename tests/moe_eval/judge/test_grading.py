"""Many answers through a judge: nothing twice, not too many at once, not more than allowed."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
from moe_eval.tasks.mmvet import TASK
from moe_eval.tasks.mmvet.judge import PROMPTS

from moe_eval.chat.budget import Budget, Cost
from moe_eval.chat.cache import ReplyCache
from moe_eval.chat.endpoint import Endpoint, RefusedError
from moe_eval.chat.reply import Reply
from moe_eval.errors import UserError
from moe_eval.images import NamedImage
from moe_eval.judge.grading import estimate, grade_answers
from moe_eval.task import Judge, JudgeCall, NoGrade, Sample
from tests.vectors import read_vectors

VECTORS = "mmvet"
ENDPOINT = Endpoint("http://nowhere/v1", "judge-1")
JUDGE = TASK.protocol("llava").judge
SAMPLES = [Sample(f"v1_{n}", f"What is {n}?", (NamedImage("a"),), "x", "g", {}) for n in range(6)]
ANSWERS = {sample.id: f"answer {sample.id}" for sample in SAMPLES}


class Script:
    """Stands for an endpoint: `reply(call)` is what it says; everything that it was asked is kept."""

    def __init__(self, reply):
        self.reply, self.calls = reply, []

    def __call__(self, call: JudgeCall) -> Reply:
        self.calls.append(call)
        return Reply(self.reply(call), 100, 1)


def grade(folder: Path, script: Script, samples=SAMPLES, judge: Judge = JUDGE, runs: int = 1, **options):
    found = grade_answers(judge, samples, ANSWERS, runs, ReplyCache(folder, ENDPOINT), script, **options)
    return found.grades, found.paid


def test_every_answer_gets_its_grades_and_nothing_is_asked_twice(tmp_path):
    script = Script(lambda call: "0.5" if "What is 3?" in call.prompt else "1.0")
    grades, paid = grade(tmp_path, script, runs=2)
    assert grades == {**dict.fromkeys(ANSWERS, (1.0, 1.0)), "v1_3": (0.5, 0.5)}
    assert paid == Cost(12, 12 * 101)
    again, paid_again = grade(tmp_path, script, runs=2)
    assert (again, paid_again, len(script.calls)) == (grades, Cost(), 12)


def test_the_day_is_that_of_the_last_reply_and_not_of_its_reading(tmp_path):
    script = Script(lambda call: "1.0")
    for day, samples in (("2024-01-02", SAMPLES[:3]), ("2024-01-05", SAMPLES[3:])):
        grade_answers(JUDGE, samples, ANSWERS, 1, ReplyCache(tmp_path, ENDPOINT, day), script)
    for samples, day in ((SAMPLES[:3], "2024-01-02"), (SAMPLES, "2024-01-05")):
        cache = ReplyCache(tmp_path, ENDPOINT, "2025-12-31")
        grade_answers(JUDGE, samples, ANSWERS, 1, cache, script)
        assert cache.last_day == day


def test_another_answer_is_asked_and_so_is_a_further_run(tmp_path):
    script = Script(lambda call: "1.0")
    grade(tmp_path, script)
    grade_answers(JUDGE, SAMPLES, {**ANSWERS, "v1_0": "new"}, 1, ReplyCache(tmp_path, ENDPOINT), script)
    assert len(script.calls) == 7
    grade(tmp_path, script, runs=2)
    assert len(script.calls) == 13


def test_another_model_has_its_own_replies(tmp_path):
    grade(tmp_path, Script(lambda call: "1.0"))
    cache = ReplyCache(tmp_path, replace(ENDPOINT, model="judge/2"))
    assert estimate(JUDGE, SAMPLES, ANSWERS, 1, cache).calls == 6


def test_the_same_question_from_many_threads_is_asked_once(tmp_path):
    def slow(call: JudgeCall) -> str:
        time.sleep(0.05)
        return "1.0"

    script = Script(slow)
    twins = [replace(SAMPLES[0], id=f"v1_{n}") for n in range(6)]
    grade_answers(JUDGE, twins, dict.fromkeys(ANSWERS, "same"), 1, ReplyCache(tmp_path, ENDPOINT), script)
    assert len(script.calls) == 1


def test_a_torn_line_is_asked_again_and_harms_no_other(tmp_path):
    script = Script(lambda call: "1.0")
    grade(tmp_path, script)
    path = ReplyCache(tmp_path, ENDPOINT).path
    path.write_bytes(path.read_bytes()[:-20])
    assert estimate(JUDGE, SAMPLES, ANSWERS, 1, ReplyCache(tmp_path, ENDPOINT)).calls == 1
    grade(tmp_path, script)
    assert estimate(JUDGE, SAMPLES, ANSWERS, 1, ReplyCache(tmp_path, ENDPOINT)) == Cost()
    assert len(script.calls) == 7


def test_estimate_is_what_an_obedient_judge_costs(tmp_path):
    cost = estimate(JUDGE, SAMPLES, ANSWERS, 2, ReplyCache(tmp_path, ENDPOINT))
    assert cost.calls == 12
    assert cost.tokens > 12 * len(PROMPTS["mm_vet"]) / 4


def test_a_spent_budget_stops_and_keeps_what_was_paid_for(tmp_path):
    script = Script(lambda call: "1.0")
    with pytest.raises(
        UserError, match=r"budget is spent: 5 calls are more than max-calls 4\. 4 of 6 gradings are done"
    ):
        grade(tmp_path, script, budget=Budget(calls=4), concurrency=1)
    assert len(script.calls) == 4
    grade(tmp_path, script)
    assert len(script.calls) == 6


def test_a_budget_of_tokens_is_kept(tmp_path):
    script = Script(lambda call: "1.0")
    with pytest.raises(UserError, match="tokens are more than max-tokens 900"):
        grade(tmp_path, script, budget=Budget(tokens=900), concurrency=1)
    assert 0 < 101 * len(script.calls) <= 900


def test_an_endpoint_that_gives_up_stops_everything(tmp_path):
    def broken(call: JudgeCall) -> str:
        raise UserError("judge: down")

    with pytest.raises(UserError, match=r"judge: down\. 0 of 6 gradings are done and kept; the same command goes on"):
        grade(tmp_path, Script(broken), concurrency=2)


def test_a_cache_that_cannot_be_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be used .* --cache"):
        ReplyCache(tmp_path / "file", ENDPOINT)


def test_vectors_scripts_give_their_grades_through_cache_and_threads(vectors_folder: Path, tmp_path: Path):
    """The recorded graders, run by run; the second time all of it comes from the cache."""
    vectors = list(read_vectors(vectors_folder))
    samples = [
        Sample(v["id"], v["input"]["question"], (NamedImage("a"),), v["input"]["answer"], "g", {}) for v in vectors
    ]
    answers = {vector["id"]: vector["prediction"] for vector in vectors}
    for run in range(3):
        replies = {}
        for vector in vectors:
            for call in vector["expected"]["calls"]:
                if call["run"] == run:
                    prompt = PROMPTS["mm_vet"] + call["prompt_tail"]
                    replies.setdefault((prompt, call["temperature"]), call["content"])
        script = Script(lambda call, replies=replies: replies[call.prompt, call.temperature])
        for asked in (True, False):
            cache = ReplyCache(tmp_path / str(run), ENDPOINT)
            found = grade_answers(JUDGE, samples, answers, 1, cache, script)
            assert {v["id"]: (v["expected"]["score"][run],) for v in vectors} == found.grades
            assert (found.paid.calls > 0) is asked


def refuse(call: JudgeCall) -> str:
    if "What is 2?" in call.prompt:
        raise RefusedError("status 400: content_filter")
    return "0.5"


def test_a_refused_answer_holds_up_no_other(tmp_path):
    """Source: tatsu-lab/alpaca_eval #227: a content filter answers 400 to a few of the questions."""
    grades, _ = grade(tmp_path, Script(refuse), judge=replace(JUDGE, refused=None))
    assert set(grades) == set(ANSWERS) - {"v1_2"}
    counted, _ = grade(tmp_path, Script(refuse), judge=replace(JUDGE, refused=NoGrade(0.0)))
    assert counted["v1_2"] == (0.0,)
    assert isinstance(counted["v1_2"][0], NoGrade)


def test_an_endpoint_that_refuses_everything_is_an_error(tmp_path):
    def always(call: JudgeCall) -> str:
        raise RefusedError("status 400: unknown parameter")

    with pytest.raises(UserError, match=r"unknown parameter\. It refused all \d answers"):
        grade(tmp_path, Script(always))


def test_replies_without_a_number_are_counted(tmp_path):
    grades, _ = grade(tmp_path, Script(lambda call: "I cannot" if "What is 2?" in call.prompt else "1"))
    assert [name for name, values in grades.items() if isinstance(values[0], NoGrade)] == ["v1_2"]
