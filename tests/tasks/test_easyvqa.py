"""The task easyvqa, which is also the example of docs/adding-a-task.md: a task on data of somebody else."""

import json
import re
from pathlib import Path

import pytest
from moe_eval.tasks.easyvqa import TASK

from moe_eval import registry
from moe_eval.errors import UserError
from tests.asking import run_task
from tests.fake_backend import FakeBackend
from tests.moe_eval.test_cli import call

ROOT = Path(__file__).parents[2]
FILE = ROOT / "tasks" / "easyvqa.py"


@pytest.fixture
def data():
    pytest.importorskip("easy_vqa", reason="the data are the extra [easy-vqa]")
    return TASK.load("package")


def test_it_is_found_by_its_name_and_listed_with_its_card(capsys):
    code, out, _ = call(capsys, "list", "tasks", "--long")
    assert code == 0
    assert "easy-VQA (easyvqa)" in out
    assert TASK.card.measures in out


def test_the_test_split_has_what_the_card_says(data):
    assert len(data.samples) == 9_673
    assert data.official
    assert len({sample.group for sample in data.samples}) == 1_000
    assert len({sample.gold for sample in data.samples}) == 13
    assert sum(sample.gold in ("yes", "no") for sample in data.samples) == 7_136
    assert data.samples[0].images[0].open().size == (64, 64)


def test_the_training_split_has_what_the_card_says_and_is_not_official(data):
    train = TASK.load("package:train")
    assert len(train.samples) == 38_575
    assert len({sample.group for sample in train.samples}) == 4_000
    assert not train.official
    assert train.source == "package:train"


def test_there_is_no_other_split():
    with pytest.raises(UserError, match="package has the test split, and package:train the other; there is no 'val'"):
        TASK.load("package:val")


def test_always_yes_gets_the_yes_questions_right(data, tmp_path):
    scores = run_task(TASK, "llava", data.first(500), FakeBackend(answer=lambda request: " Yes."), tmp_path)
    yes = sum(sample.gold == "yes" for sample in data.first(500).samples)
    assert scores.headline.value == pytest.approx(100 * yes / scores.data.samples)
    assert scores.metrics["kinds"]["colour"] == {"accuracy": 0.0}


def test_stored_answers_are_scored(capsys, data, tmp_path):
    answers = tmp_path / "answers.jsonl"
    lines = [{"question_id": int(sample.id), "text": sample.gold.upper()} for sample in data.samples]
    answers.write_text("\n".join(map(json.dumps, lines)))
    code, out, _ = call(capsys, "score", "easyvqa", answers)
    assert code == 0
    assert "easyvqa: accuracy (%) 100.00 [99.6, 100.0]\n9,673 of 9,673 questions" in out


def test_without_the_package_the_way_out_is_named(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "easy_vqa", None)
    code, _, err = call(capsys, "run", "moe-llava-tiny", "--tasks", "easyvqa")
    assert code == 2
    assert re.fullmatch(r"moe-eval: [^\n]*pip install easy-vqa[^\n]*\n", err)


def test_a_copy_under_another_name_is_a_task_file(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(registry, "_from_files", {})
    copy = tmp_path / "my_task.py"
    copy.write_text(FILE.read_text(encoding="utf-8").replace('name="easyvqa"', 'name="my_task"'))
    code, out, _ = call(capsys, "list", "tasks", "--long", "--task-file", copy)
    assert code == 0
    assert "easy-VQA (my_task)" in out


def test_the_page_shows_the_file_as_it_is():
    page = ROOT / "docs" / "adding-a-task.md"
    shown = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    code = FILE.read_text(encoding="utf-8")
    assert shown
    for block in shown:
        assert block in code
