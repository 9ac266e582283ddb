"""Runs of POPE that stand at any point, made by a backend without a model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from moe_eval.registry import find_task
from moe_eval.runs.plan import run_folder
from tests.asking import run_task
from tests.fake_backend import FAKE_MODEL, FakeBackend, KilledError

QUESTIONS = 54
"""Three pictures with 18 questions each."""

Answer = Callable[..., Path]


@pytest.fixture
def answer(tmp_path: Path) -> Answer:
    """Answers POPE into the folder of a model below `tmp_path`, to the end or until it is killed; the folder."""

    def run(model: str = "guesser", dies_after: int | None = None, seconds: float = 0.0) -> Path:
        task = find_task("pope")
        folder = run_folder(tmp_path, model, "pope")
        info = replace(FAKE_MODEL, name=model)
        backend = FakeBackend(lambda request: "Yes" if int(request.id) % 7 else "No", dies_after, seconds, info)
        try:
            run_task(task, "llava", task.load("mini").first(QUESTIONS), backend, folder)
        except KilledError:
            forget_the_end(folder)
        return folder

    return run


def forget_the_end(folder: Path) -> None:
    """`run.json` as a process leaves it that is killed with -9: without what it took and how many it answered."""
    from moe_eval.runs.records import RunRecord, read_record, write_record

    run = read_record(RunRecord, folder / "run.json")
    last = run.sessions[-1].model_copy(update={"answered": None, "seconds": None})
    write_record(run.model_copy(update={"sessions": [*run.sessions[:-1], last]}), folder / "run.json")
