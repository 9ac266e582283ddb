"""The tasks there are: of installed packages (entry-point group `moe_eval.tasks`), of task files, and of lmms-eval."""

import importlib.util
import sys
from collections.abc import Collection
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError, unknown
from moe_eval.lmms import LMMS_PREFIX
from moe_eval.task import Task

__all__ = ["all_tasks", "find_task", "load_task_file", "measures_answers", "only_choice", "own_tasks", "task_names"]

GROUP = "moe_eval.tasks"

ALIASES = {"sqa": "scienceqa", "scienceqa-img": "scienceqa", "mm-vet": "mmvet", "vqa": "vqav2", "vizwiz-vqa": "vizwiz"}
"""Other names that papers and harnesses have for tasks."""

_from_files: dict[str, Task] = {}
"""Tasks of the files that this process was told to load, by name."""


@cache
def _entry_points() -> dict[str, list[EntryPoint]]:
    """By name; of several under one name each that loads something else, for two packages may claim it."""
    found: dict[str, dict[str, EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, {})[point.value] = point
    return {name: list(points.values()) for name, points in found.items()}


def task_names() -> list[str]:
    """Names of the tasks there are, without importing them."""
    return sorted({*_entry_points(), *_from_files})


def own_tasks() -> list[str]:
    """Names of the nine tasks that come with this project; one whose data are an extra, such as easyvqa, is none."""
    ours = {
        name: points[0] for name, points in _entry_points().items() if points[0].module.startswith("moe_eval.tasks.")
    }
    return sorted(name for name, point in ours.items() if not point.extras)


def find_task(name: str) -> Task:
    """The task of that name, in capitals or not, or of another name that it goes by (`ALIASES`).

    Raises:
        UserError: naming the nearest ones, or the module that does not import.
    """
    if name in _from_files:
        return _from_files[name]
    if not name.startswith(LMMS_PREFIX) and name not in _entry_points():
        name = ALIASES.get(name.lower(), name.lower())
    if name.startswith(LMMS_PREFIX):
        from moe_eval.lmms.tasks import load_lmms_task

        return load_lmms_task(name.removeprefix(LMMS_PREFIX))
    if name not in _entry_points():
        raise unknown("task", name, task_names(), "try `moe-eval list tasks`, or bring your own with --task-file")
    point, *others = _entry_points()[name]
    if others:
        claims = " and ".join(sorted(one.value for one in [point, *others]))
        raise UserError(f"task {name!r} is claimed by several installed packages ({claims}); uninstall all but one")
    try:
        task = point.load()
    except Exception as error:  # a module of somebody else: anything may go wrong in it
        raise UserError(f"task {name!r} ({point.value}) cannot be loaded: {_one_line(error)}") from error
    if not isinstance(task, Task):
        raise UserError(f"task {name!r}: {point.value} is a {type(task).__name__}, not a moe_eval.task.Task")
    return task


def task_title(name: str) -> str:
    """What a task is called where people read it; its name where it is not installed."""
    try:
        return find_task(name).title
    except UserError:
        return name


def measures_answers(name: str, protocol: str) -> bool:
    """Whether a task's protocol measures given answers instead of generating some; no where the task is not installed."""
    try:
        return find_task(name).protocol(protocol).continuations is not None
    except UserError:
        return False


def only_choice(names: Collection[str], usual: str) -> str:
    """What is taken of a task's protocols or sources when nothing is said: the usual one, or the only one there is.

    >>> only_choice(["llava", "lmms-eval"], "llava"), only_choice(["lmms-eval"], "llava")
    ('llava', 'lmms-eval')
    """
    return next(iter(names)) if len(names) == 1 else usual


def load_task_file(path: Path) -> Task:
    """The task that a Python file defines as `TASK`; from now on it is found by its name, too.

    The file is run as a program is: load only what you trust.

    Raises:
        UserError: when the file is missing, fails, defines no `TASK`, or takes the name of another task.
    """
    task = getattr(_run_file(path), "TASK", None)
    if task is None:
        raise UserError(f"{path}: defines no TASK; a task file ends with TASK = Task(name=..., ...)")
    if not isinstance(task, Task):
        raise UserError(f"{path}: TASK is a {type(task).__name__}, not a moe_eval.task.Task")
    if task.name in _entry_points():
        raise UserError(f"{path}: there is an installed task {task.name!r} already; give this one another name")
    _from_files[task.name] = task
    return task


def _run_file(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: there is no such task file")
    name = f"moe_eval_task_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path}: a task file is a Python file, NAME.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # somebody else's file: anything may go wrong in it
        raise UserError(f"{path}: cannot be loaded: {_one_line(error)}") from error
    return module


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def all_tasks() -> list[Task]:
    """Every task there is, by name."""
    return [find_task(name) for name in task_names()]
