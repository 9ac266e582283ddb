"""Runs of a fake model that is right, but for what a test wants wrong."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from moe_eval.tasks.pope import TASK

from moe_eval.task import Dataset, Sample
from tests.asking import run_task
from tests.fake_backend import FAKE_MODEL, FakeBackend

__all__ = ["DATA", "make_run"]

DATA = TASK.load("mini").first(180)


def make_run(
    folder: Path,
    wrong: Callable[[int, Sample], bool] = lambda number, sample: False,
    data: Dataset = DATA,
    protocol: str = "llava",
    model: str = "fake",
) -> Path:
    """A run of POPE in `folder/pope` in which the answers are wrong for which `wrong(number, sample)`."""
    said = {}
    for number, sample in enumerate(data.samples):
        answer = str(sample.gold)
        said[sample.id] = {"yes": "no", "no": "yes"}[answer] if wrong(number, sample) else answer
    backend = FakeBackend(lambda request: said[request.id], info=replace(FAKE_MODEL, name=model))
    run_task(TASK, protocol, data, backend, folder / "pope")
    return folder
