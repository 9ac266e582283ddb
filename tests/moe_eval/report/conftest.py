"""Run folders to report on: two models, asked the first questions of POPE's mini set."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from moe_eval import registry
from moe_eval.engine.backend import Request
from moe_eval.registry import find_task, load_task_file
from moe_eval.runs.plan import run_folder
from tests.asking import run_task
from tests.fake_backend import FAKE_MODEL, FakeBackend

QUESTIONS = 36


def answer_pope(out: Path, model: str, answer: Callable[[Request], str]) -> Path:
    """A finished run; its folder."""
    task = find_task("pope")
    folder = run_folder(out, model, "pope")
    backend = FakeBackend(answer=answer, info=replace(FAKE_MODEL, name=model))
    run_task(task, "llava", task.load("mini").first(QUESTIONS), backend, folder)
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with the runs of one that always says yes, and of one that rambles on every third question."""
    out = tmp_path / "runs"
    answer_pope(out, "yes-sayer", lambda request: "Yes")
    answer_pope(out, "rambler", lambda request: "I think so. No doubt." if int(request.id) % 3 == 0 else "No")
    return out


NASTY = "</script><script>window.injected = true</script><!-- <img src=x onerror='window.injected = true'> \"quoted\" {{ 7 * 7 }}"
"""What must reach a reader's eyes as it is, wherever it stands."""


@pytest.fixture
def nasty_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of a task of one's own in which every text is hostile: title, data, question, gold, model, answer."""
    monkeypatch.setattr(registry, "_from_files", {})
    path = tmp_path / "nasty.py"
    path.write_text(TASK.format(nasty=NASTY), encoding="utf-8")
    task = load_task_file(path)
    folder = tmp_path / "nasty" / "run"
    info = replace(FAKE_MODEL, name=NASTY, llm=NASTY)
    run_task(task, "exact", task.load("made"), FakeBackend(answer=lambda request: NASTY, info=info), folder)
    return folder


TASK = """
from dataclasses import dataclass
from PIL import Image
from moe_eval.task import Card, Dataset, Result, Sample, Task, TaskProtocol

NASTY = {nasty!r}

@dataclass(frozen=True)
class Picture:
    name: str = NASTY
    def open(self):
        return Image.new("RGB", (8, 8))

def load(argument):
    samples = [Sample(id=NASTY, question=NASTY, images=(Picture(),), gold=NASTY, group=NASTY)]
    return Dataset(source="made", version=NASTY, samples=samples, official=False)

def score(sample, answer):
    return dict(correct=int(answer == sample.gold), prediction=answer, category=NASTY)

PROTOCOL = TaskProtocol(
    headline=NASTY,
    prompt=lambda sample: sample.question,
    score=score,
    aggregate=lambda scores: Result(100.0 * sum(s["correct"] for s in scores) / len(scores), {{NASTY: 1.0}}),
)
TASK = Task(
    name="nasty", title=NASTY, card=Card(NASTY, NASTY, NASTY, NASTY), max_new_tokens=8,
    protocols={{"exact": PROTOCOL}}, sources={{"made": load}},
)
"""
