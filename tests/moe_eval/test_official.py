"""Which questions count as those of the papers: not any that are as many."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from moe_eval.tasks.mme import TASK as MME

from moe_eval.images import NamedImage
from moe_eval.official import doubt_or_ground, part_hash
from moe_eval.registry import find_task
from moe_eval.task import Dataset, Sample

RELEASED = Path(__file__).parents[1] / "data" / "llava15_13b"

ANSWERS = {"mme": "mme", "scienceqa": "scienceqa", "mmbench": "mmbench_dev_20230712", "mmvet": "mmvet_grades_13b"}


def made_up(count: int, name: str = "{}", gold: str | None = None) -> list[Sample]:
    return [Sample(name.format(n), "What is x?", (NamedImage(str(n)),), gold, str(n)) for n in range(count)]


def load(task: str, samples: list[Sample]) -> Dataset:
    """As the task loads what it takes for the papers' questions, by their number."""
    data = Dataset("made", "all of them", samples, official=True)
    return replace(find_task(task), sources={"made": lambda argument: data}).load("made")


@pytest.mark.parametrize("task", ANSWERS)
def test_what_was_released_is_official(task):
    data = find_task(task).load(f"answers:{RELEASED / ANSWERS[task]}.jsonl.gz")
    assert data.official
    assert "not those of the papers" not in data.version


@pytest.mark.parametrize(
    ("task", "count", "other"),
    [
        ("mmvet", 218, "ids"),
        ("gqa", 12_578, "ids"),
        ("mmbench", 4377, "ids"),
        ("textvqa", 5000, "questions"),
        ("vizwiz", 8000, "ids"),
        ("scienceqa", 2017, "answers"),
    ],
)
def test_as_many_others_are_not(task, count, other):
    data = load(task, made_up(count, gold="A"))
    assert (data.official, data.version) == (
        False,
        f"all of them: not those of the papers, though as many (other {other})",
    )


def test_ids_alone_do_not_make_questions_official():
    data = load("mmvet", made_up(218, "v1_{}"))
    assert not data.official
    assert "other ids and questions" in data.version


def test_one_other_answer_is_told(tmp_path):
    with gzip.open(RELEASED / "mme.jsonl.gz", "rt") as stream:
        rows = [json.loads(line) for line in stream]
    rows[7]["gold"] = {"Yes": "No", "No": "Yes"}[rows[7]["gold"]]
    path = tmp_path / "mme.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert not MME.load(f"answers:{path}").official


def test_where_no_file_was_at_hand_the_number_decides_and_the_text_says_so():
    data = load("vqav2", made_up(107_394))
    assert (data.official, data.version) == (True, "all of them, told by their number")


def test_a_part_of_what_is_known_is_named():
    data = find_task("mmvet").load(f"answers:{RELEASED / 'mmvet_grades_13b'}.jsonl.gz")
    assert data.version == "all 218 questions, told by their ids"


def test_tasks_without_recorded_questions_speak_for_themselves():
    assert doubt_or_ground("mine", made_up(3)) == ("", "")


def test_order_case_and_punctuation_do_not_count():
    one, two = made_up(2)
    other = replace(two, question="what is  X")
    assert part_hash([one, two], "id+question") == part_hash([other, one], "id+question")
    assert part_hash([one, two], "id+question") != part_hash([replace(one, question="What is y?"), two], "id+question")
