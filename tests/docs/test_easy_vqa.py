"""The example of docs/adding-a-task.md: a task file on data of somebody else."""

import json
import re
from pathlib import Path

import pytest

from moe_eval import registry
from moe_eval.registry import load_task_file
from moe_eval.run import run_task
from tests.fake_backend import FakeBackend
from tests.moe_eval.test_cli import call

DOCS = Path(__file__).parents[2] / "docs"
FILE = DOCS / "easy_vqa.py"


@pytest.fixture
def task(monkeypatch):
    monkeypatch.setattr(registry, "_from_files", {})
    return load_task_file(FILE)


@pytest.fixture
def data(task):
    pytest.importorskip("easy_vqa", reason="the data are the extra [easy-vqa]")
    return task.load("package")


def test_it_is_listed_with_its_card(capsys, task):
    code, out, _ = call(capsys, "list", "tasks", "--long", "--task-file", FILE)
    assert code == 0
    assert "easy-VQA (easy_vqa)" in out
    assert task.card.measures in out


def test_the_package_has_what_the_card_says(data):
    assert len(data.samples) == 9_673
    assert data.official
    assert len({sample.group for sample in data.samples}) == 1_000
    assert len({sample.gold for sample in data.samples}) == 13
    assert sum(sample.gold in ("yes", "no") for sample in data.samples) == 7_136
    assert data.samples[0].images[0].open().size == (64, 64)


def test_always_yes_gets_the_yes_questions_right(task, data, tmp_path):
    scores = run_task(task, "llava", data.first(500), FakeBackend(answer=lambda request: " Yes."), tmp_path)
    yes = sum(sample.gold == "yes" for sample in data.first(500).samples)
    assert scores.headline.value == pytest.approx(100 * yes / scores.data.samples)
    assert scores.metrics["kinds"]["colour"] == {"accuracy": 0.0}


def test_stored_answers_are_scored_with_the_task_file(capsys, data, tmp_path):
    answers = tmp_path / "answers.jsonl"
    lines = [{"question_id": int(sample.id), "text": sample.gold.upper()} for sample in data.samples]
    answers.write_text("\n".join(map(json.dumps, lines)))
    code, out, _ = call(capsys, "score", "easy_vqa", answers, "--task-file", FILE)
    assert code == 0
    assert "easy_vqa: accuracy (%) 100.00\n9,673 of 9,673 questions" in out


def test_without_the_package_the_way_out_is_named(task, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "easy_vqa", None)
    code, _, err = call(capsys, "run", "moe-llava-tiny", "--task-file", FILE, "--data", "package")
    assert code == 2
    assert re.fullmatch(r"moe-eval: [^\n]*pip install easy-vqa[^\n]*\n", err)


def test_the_page_shows_the_file_as_it_is():
    shown = re.findall(r"```python\n(.*?)```", (DOCS / "adding-a-task.md").read_text(encoding="utf-8"), re.DOTALL)
    code = FILE.read_text(encoding="utf-8")
    assert shown
    for block in shown:
        assert block in code
