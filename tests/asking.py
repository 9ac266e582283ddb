"""A task's questions asked of a backend, into any folder: a plan for tests that have all its parts at hand."""

from pathlib import Path
from typing import Any

from moe_eval.engine.backend import Backend
from moe_eval.evaluation import carry_out
from moe_eval.runs.plan import Plan
from moe_eval.runs.records import ScoresRecord
from moe_eval.task import Dataset, Task

__all__ = ["run_task"]


def run_task(
    task: Task,
    protocol: str,
    dataset: Dataset,
    backend: Backend,
    folder: Path,
    *,
    on_answer: Any = None,
    **settings: Any,
) -> ScoresRecord:
    """Ask, score and write; `settings` are those of `moe_eval.runs.plan.Plan`."""
    plan = Plan(backend.describe().name, task, protocol, dataset.source, data=dataset, at=folder, **settings)
    return carry_out(plan, backend, on_answer or (lambda answered, total: None))
