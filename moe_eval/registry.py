"""The tasks that are installed, found through the entry-point group `moe_eval.tasks`."""

from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from moe_eval.errors import UserError, unknown

if TYPE_CHECKING:
    from moe_eval.task import Task

__all__ = ["all_tasks", "find_task", "task_names"]

GROUP = "moe_eval.tasks"


@cache
def _entry_points() -> dict:
    return {point.name: point for point in entry_points(group=GROUP)}


def task_names() -> list[str]:
    """Names of the installed tasks, without importing them."""
    return sorted(_entry_points())


def find_task(name: str) -> "Task":
    """The task of that name.

    Raises:
        UserError: naming the nearest ones, or the module that does not import.
    """
    if name not in _entry_points():
        raise unknown("task", name, task_names(), "try `moe-eval list tasks`")
    point = _entry_points()[name]
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise UserError(f"task {name!r} ({point.value}) cannot be loaded: {error}") from error


def all_tasks() -> "list[Task]":
    """Every installed task, by name."""
    return [find_task(name) for name in task_names()]
