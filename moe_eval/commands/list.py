"""`moe-eval list`: the tasks, models and data sources there are."""

from collections.abc import Callable
from typing import Annotated

import typer
from tabulate import tabulate

from moe_eval.commands.options import TaskFileOption, own_task
from moe_eval.errors import unknown
from moe_eval.registry import all_tasks
from moe_eval.task import Task

__all__ = ["list_", "listing"]


def list_(
    what: Annotated[str, typer.Argument(metavar="tasks|models|data", help="What to list.")],
    long: Annotated[bool, typer.Option("--long", help="With everything there is to know.")] = False,
    task_file: TaskFileOption = None,
) -> None:
    """List the tasks, models or data sources there are.

    Example: moe-eval list tasks --long
    """
    own_task(task_file)
    print(listing(what, long))


def listing(what: str, long: bool) -> str:
    """A list as text.

    Raises:
        UserError: naming what can be listed.
    """
    if what not in _LISTS:
        raise unknown("list", what, _LISTS)
    return _LISTS[what](long)


def _tasks(long: bool) -> str:
    tasks = all_tasks()
    if long:
        return "\n\n".join(map(_card, tasks))
    rows = [(task.name, _default_headline(task), ", ".join(task.protocols), ", ".join(task.sources)) for task in tasks]
    return tabulate(rows, headers=["task", "headline", "protocols", "data"])


def _card(task: Task) -> str:
    card = task.card
    facts = (
        ("measures", card.measures),
        ("headline", _default_headline(task)),
        ("size", card.size),
        ("protocols", ", ".join(task.protocols)),
        ("data", ", ".join(task.sources)),
        ("answers", f"at most {task.max_new_tokens} tokens"),
        ("licence", card.licence),
        ("citation", card.citation),
    )
    lines = [f"{task.title} ({task.name})", *(f"  {name + ':':11}{fact}" for name, fact in facts)]
    return "\n".join([*lines, *(f"  - {pitfall}" for pitfall in card.pitfalls)])


def _default_headline(task: Task) -> str:
    return next(iter(task.protocols.values())).headline


def _data(long: bool) -> str:
    rows = []
    for task in all_tasks():
        for name, loader in task.sources.items():
            text = (loader.__doc__ or "").strip()
            rows.append((task.name, name, " ".join(text.split()) if long else text.splitlines()[0]))
    return tabulate(rows, headers=["task", "data", ""], maxcolwidths=[None, None, 100])


def _models(long: bool) -> str:
    from moellava import zoo

    rows = []
    for entry in map(zoo.find, zoo.names()):
        weights = "random, for trying things out" if entry.random_weights else entry.source or "never published"
        kind = "sparse" if entry.name.startswith("moe") else "dense"
        rows.append([entry.name, entry.llm, kind, weights, *([entry.published_as, entry.revision] if long else [])])
    more = ["row in published tables", "revision"] if long else []
    return tabulate(rows, headers=["model", "LLM", "kind", "weights", *more])


_LISTS: dict[str, Callable[[bool], str]] = {"tasks": _tasks, "models": _models, "data": _data}
