"""MM-Vet: prompts, the judge's dialogue, scores, data and upload, against what the originals gave."""

import hashlib
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moe_eval.tasks.mmvet import TASK
from moe_eval.tasks.mmvet.judge import PROMPTS, grade, grade_as_lmms_eval, grade_as_vlmevalkit

from moe_eval.errors import UserError
from moe_eval.images import NamedImage
from moe_eval.scoring.answers import read_answers
from moe_eval.scoring.score import score_answers
from moe_eval.task import JudgeCall, Sample
from tests.vectors import read_expected, read_vectors

DATA = Path(__file__).parents[1] / "data"
VECTORS = "mmvet"
LLAVA = TASK.protocol("llava")


def sample(name="v1_0", question="What is it?", gold="a<AND>b", capabilities=("rec",), **meta) -> Sample:
    meta = {"capabilities": tuple(capabilities), **meta}
    return Sample(name, question, (NamedImage(f"{name}.png"),), gold, name, meta)


def play(judgement, replies) -> tuple[float, list[JudgeCall], list[str]]:
    """The grade, the calls and the replies that were given; the last reply of the script repeats."""
    calls, given = [], []
    try:
        call = next(judgement)
        while True:
            calls.append(call)
            given.append(replies[min(len(given), len(replies) - 1)])
            call = judgement.send(given[-1])
    except StopIteration as done:
        return done.value, calls, given


def test_prompts():
    assert LLAVA.prompt(sample()) == TASK.protocol("vlmevalkit").prompt(sample()) == "What is it?"
    assert TASK.protocol("lmms-eval").prompt(sample()) == (
        "First please perform reasoning, and think step by step to provide best answer to the following question: "
        "\n\nWhat is it?"
    )


def test_the_few_shot_prompt_is_mm_vets_to_the_byte():
    digest = hashlib.sha256(PROMPTS["mm_vet"].encode()).hexdigest()
    assert digest == "d1b3e0a5b4e72c888b77164489d705bba4dd149934fff564dfba6443d81afe3f"


@pytest.mark.parametrize(
    ("replies", "value", "temperatures"),
    [
        (["0.5"], 0.5, [0.0]),
        (["0.5 is fair"], 0.5, [0.0]),
        (["1.5", "0.5"], 0.5, [0.0, 0.0]),
        ([" 0.5", "x", "0.1"], 0.1, [0.0, 0.0, 0.5]),
        (["x"] * 5 + ["1.0"], 0.0, [0.0, 0.0, 0.5, 1.0, 1.5, 2.0]),
    ],
)
def test_judge_is_asked_again_as_by_mm_vet(replies, value, temperatures):
    result, calls, _ = play(grade(sample(), "c"), replies)
    assert (result, [call.temperature for call in calls]) == (value, temperatures)
    assert calls[0].prompt.endswith("\nWhat is it? | a <AND> b | c | ")


def test_judge_is_asked_as_by_lmms_eval():
    value, calls, _ = play(grade_as_lmms_eval(sample(), "c"), ["x", "thrown away", "0.4"])
    assert (value, [call.temperature for call in calls]) == (0.4, [0.0, 0.5, 0.5])
    assert calls[0].prompt.endswith("\nWhat is it? | a <AND> b | c |")
    assert play(grade_as_lmms_eval(sample(), "c"), [""])[0] == 0.0
    assert play(grade_as_lmms_eval(sample(), "c"), ["7"])[0] == 0.0
    assert [call.temperature for call in play(grade_as_lmms_eval(sample(), "c"), ["x"])[1]][-1] == 2.0


def test_judge_is_asked_as_by_vlmevalkit():
    value, calls, _ = play(grade_as_vlmevalkit(sample(), "c"), ["0.4 or so", "2", " 0.4\n"])
    assert (value, [call.temperature for call in calls]) == (0.4, [0.0, 0.5, 1.0])


@pytest.mark.parametrize("protocol", TASK.protocols)
@given(response=st.text(), reply=st.text())
def test_any_answer_and_any_reply_give_a_grade(protocol, response, reply):
    value, _, _ = play(TASK.protocol(protocol).judge.grade(sample(), response), [reply])
    assert not value < 0
    assert not value > 1


@given(st.randoms(use_true_random=False))
def test_order_of_samples_changes_no_score(shuffler: random.Random):
    kinds = [("rec",), ("ocr", "math"), ("math", "ocr"), ("rec", "know", "gen")]
    graded = [sample(capabilities=kind, grades=(shuffler.random(), shuffler.random())) for kind in kinds * 3]
    scores = [LLAVA.score(one, "") for one in graded]
    assert LLAVA.aggregate(shuffler.sample(scores, len(scores))) == LLAVA.aggregate(scores)


def test_without_a_judge_there_is_no_number():
    result = LLAVA.aggregate([LLAVA.score(sample(grades=(1.0,)), "a"), LLAVA.score(sample(), "a")])
    assert result.headline is None
    assert result.metrics["graded"].startswith("1 of 2 answers")


def test_nan_is_no_grade():
    assert "score" not in LLAVA.score(sample(grades=(float("nan"),)), "a")


@pytest.mark.parametrize("size", ["7b", "13b"])
def test_released_grades_give_the_published_number(size):
    path = DATA / "llava15_13b" / f"mmvet_grades_{size}.jsonl.gz"
    expected = json.loads((DATA / "llava15_13b" / "expected.json").read_text())["mmvet"][f"LLaVA-1.5-{size.upper()}"]
    dataset = TASK.load(f"answers:{path}")
    scores = score_answers(TASK, "llava", dataset, read_answers(TASK, dataset, path))
    assert round(scores.headline.value, 1) == expected["total"]
    assert round(scores.metrics["std"], 1) == expected["std"]
    assert list(scores.metrics["runs"].values()) == pytest.approx(expected["run_means"], abs=1e-9)


# --- data -------------------------------------------------------------------------------------------------------


def write_folder(folder: Path, metadata: dict | None) -> Path:
    lines = [{"image": "v1_0.png", "text": "What is x?", "category": "conv", "question_id": 0}]
    (folder / "llava-mm-vet.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if metadata is not None:
        (folder / "mm-vet.json").write_text(json.dumps(metadata))
    return folder


def test_llava_folder_with_and_without_what_the_judge_needs(tmp_path):
    (bare,) = TASK.load(f"llava:{write_folder(tmp_path, None)}").samples
    assert (bare.id, bare.question, bare.gold) == ("v1_0", "What is x?", None)
    metadata = {"v1_0": {"imagename": "v1_0.png", "question": "?", "answer": "7", "capability": ["ocr", "math"]}}
    (full,) = TASK.load(f"llava:{write_folder(tmp_path, metadata)}").samples
    assert (full.gold, full.meta["capabilities"]) == ("7", ("ocr", "math"))
    assert full.images[0].path == tmp_path / "images" / "v1_0.png"


def test_question_without_metadata_is_named(tmp_path):
    with pytest.raises(UserError, match=r"mm-vet\.json id v1_0 lacks answer, capability"):
        TASK.load(f"llava:{write_folder(tmp_path, {'v1_1': {}})}")


@pytest.mark.parametrize("grades", [[1.5], "0.5", ["x"], None])
def test_what_is_no_grade_is_named(tmp_path, grades):
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps({"question_id": "v1_0", "text": "", "grades": grades}) + "\n")
    with pytest.raises(UserError, match="line 1: grades must be a list of numbers from 0 to 1"):
        TASK.load(f"answers:{path}")


# --- vectors ----------------------------------------------------------------------------------------------------


def test_vectors_are_graded_and_summed_up_as_by_mm_vet(vectors_folder: Path):
    """Every call with its prompt and temperature, every grade; the aggregates to the decimal that the original prints."""
    scores = []
    for vector in read_vectors(vectors_folder):
        asked, expected = vector["input"], vector["expected"]
        one = sample(vector["id"], asked["question"], asked["answer"], asked["capability"])
        grades = []
        for run, script in enumerate(asked["grader_script"]):
            value, calls, replies = play(grade(one, vector["prediction"]), script)
            grades.append(value)
            original = [call for call in expected["calls"] if call["run"] == run]
            assert [(call.temperature, call.max_tokens) for call in calls] == [
                (call["temperature"], call["max_tokens"]) for call in original
            ], vector["id"]
            for call, reply, theirs in zip(calls, replies, original, strict=True):
                assert call.prompt == PROMPTS["mm_vet"] + theirs["prompt_tail"], vector["id"]
                assert hashlib.sha256(call.prompt.encode()).hexdigest() == theirs["prompt_sha256"], vector["id"]
                assert reply == theirs["content"], vector["id"]
        assert grades == expected["score"], vector["id"]
        graded = sample(vector["id"], capabilities=asked["capability"], grades=tuple(grades))
        scores.append(LLAVA.score(graded, vector["prediction"]))
    metrics, expected = LLAVA.aggregate(scores).metrics, read_expected(vectors_folder)
    for kind, table in (("capabilities", "official_capability"), ("combinations", "official_combination_sorted_names")):
        printed = dict(expected[table])
        assert metrics["total"] == as_printed(printed.pop("total"))
        assert metrics["std"] == as_printed(printed.pop("std"))
        assert list(metrics["runs"].values()) == [as_printed(value) for value in printed.pop("runs")]
        for name, value in printed.items():
            assert metrics[kind][name]["grade"] == as_printed(value), name
    for name, count in expected["capability_counts"].items():
        assert metrics["capabilities"][name]["samples"] == count
    per_run = list(metrics["runs"].values())
    assert per_run == pytest.approx(expected["lmms_eval_overall_per_run"], abs=1e-9)


def as_printed(value: float):
    """The original prints one decimal."""
    return pytest.approx(value, abs=0.05 + 1e-9)
