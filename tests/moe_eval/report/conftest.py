"""Run folders to report on: two models, asked the first questions of POPE's mini set."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from moe_eval.engine.backend import Request
from moe_eval.registry import find_task
from moe_eval.run import run_folder, run_task
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
