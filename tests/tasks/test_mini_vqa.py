"""`mini` of the tasks with short answers: what every one of them promises."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from moe_eval.tasks import gqa, textvqa, vizwiz, vqav2

from moe_eval.errors import UserError
from moe_eval.task import Sample

TASKS = {module.TASK.name: module.TASK for module in (vqav2, gqa, vizwiz, textvqa)}
MINI = {name: task.load("mini") for name, task in TASKS.items()}
TRAINING = {name: task.load("mini:train:60") for name, task in TASKS.items()}
PROTOCOLS = [(name, protocol) for name, task in TASKS.items() for protocol in task.protocols]

each_task = pytest.mark.parametrize("name", TASKS)


def headline(name: str, protocol: str, respond) -> float:
    rules = TASKS[name].protocol(protocol)
    return rules.aggregate([rules.score(sample, respond(sample)) for sample in MINI[name].samples]).headline


@pytest.mark.parametrize(("name", "protocol"), PROTOCOLS)
def test_ideal_answers_score_full(name, protocol):
    assert headline(name, protocol, lambda sample: ideal_answer(sample, protocol)) > 99.5


def ideal_answer(sample: Sample, protocol: str) -> str:
    """Qwen-VL's scorer leaves unanimous answers as they are, and its prompt does not ask for LLaVA's "Unanswerable"."""
    answer = str(sample.meta["response"])
    return answer.lower() if protocol == "qwen-vl" and answer == "Unanswerable" else answer


@pytest.mark.parametrize(("name", "protocol"), PROTOCOLS)
def test_no_answer_is_right_for_all_questions(name, protocol):
    common = Counter(sample.meta["response"] for sample in MINI[name].samples).most_common(3)
    assert max(headline(name, protocol, lambda _, answer=answer: answer) for answer, _ in common) < 40


@each_task
def test_the_score_of_an_answer_does_not_hold_the_ideal_one(name):
    task = TASKS[name]
    scores = [rules.score(MINI[name].samples[0], "purple") for rules in task.protocols.values()]
    assert all("response" not in score for score in scores)


@each_task
def test_mini_has_a_few_hundred_questions_and_says_so(name):
    count = len(MINI[name].samples)
    scenes = len({sample.group for sample in MINI[name].samples})
    assert 100 <= count <= 600
    assert (MINI[name].version, MINI[name].official) == (f"{count} generated questions on {scenes} drawn scenes", False)


@each_task
def test_training_asks_several_different_questions_about_each_scene(name):
    samples = TRAINING[name].samples
    assert TRAINING[name].source == "mini:train:60"
    assert len(samples) >= 5 * 60
    assert len({(sample.group, sample.question) for sample in samples}) == len(samples)


@each_task
def test_training_and_test_scenes_differ_in_what_they_hold(name):
    splits = [{sample.images[0].split for sample in dataset[name].samples} for dataset in (MINI, TRAINING)]
    assert splits == [{"test"}, {"train"}]


@each_task
def test_prompts_are_short(name):
    prompt = TASKS[name].protocol("llava").prompt
    assert max(len(prompt(sample).split()) for sample in MINI[name].samples) <= 30


@each_task
def test_anything_else_behind_mini_is_one_clear_line(name):
    with pytest.raises(UserError, match=rf"^{name}: mini takes nothing, or train:COUNT"):
        TASKS[name].load("mini:500")


def test_the_same_questions_are_made_in_every_process():
    """String hashes, and with them the order of sets, differ from process to process."""
    program = (
        "from tasks import gqa, textvqa, vizwiz, vqav2\n"
        "for module in (vqav2, gqa, vizwiz, textvqa): print(module.TASK.load('mini').fingerprint)\n"
        "print(gqa.TASK.load('mini').samples[0].meta['question'])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4242"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    first = MINI["gqa"].samples[0].meta["question"]
    assert done.stdout.splitlines() == [*(dataset.fingerprint for dataset in MINI.values()), str(first)]
