"""`moe-eval list`: the tasks, models, data sources and published numbers there are."""

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer
from tabulate import tabulate

from moe_eval.commands.options import JsonOption, TaskFileOption, own_task, show_life
from moe_eval.errors import unknown
from moe_eval.registry import all_tasks
from moe_eval.task import Task

__all__ = ["list_", "listing"]


def list_(
    what: Annotated[str, typer.Argument(metavar="tasks|models|data|published", help="What to list.")],
    long: Annotated[bool, typer.Option("--long", help="With everything there is to know.")] = False,
    task_file: TaskFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the tasks, models, data sources or published numbers there are.

    Example: moe-eval list tasks --long
    """
    own_task(task_file)
    print(listing(what, long, as_json))


def listing(what: str, long: bool = False, as_json: bool = False) -> str:
    """A list as text, or as a JSON list of objects with everything there is to know.

    Raises:
        UserError: naming what can be listed.
    """
    if what not in _LISTS:
        raise unknown("list", what, _LISTS)
    facts, as_text = _LISTS[what]
    found = facts()
    return json.dumps(found, indent=1, ensure_ascii=False) if as_json else as_text(found, long)


def _tasks() -> list[dict[str, Any]]:
    return [_task(task) for task in all_tasks()]


def _task(task: Task) -> dict[str, Any]:
    card = task.card
    return {
        "task": task.name,
        "title": task.title,
        "measures": card.measures,
        "headline": next(iter(task.protocols.values())).headline,
        "size": card.size,
        "protocols": list(task.protocols),
        "data": list(task.sources),
        "max_new_tokens": task.max_new_tokens,
        "licence": card.licence,
        "citation": card.citation,
        "pitfalls": [*card.pitfalls, *_about_orientation(task)],
    }


def _tasks_text(tasks: list[dict[str, Any]], long: bool) -> str:
    if long:
        return "\n\n".join(map(_card, tasks))
    rows = [(task["task"], task["headline"], ", ".join(task["protocols"]), ", ".join(task["data"])) for task in tasks]
    return tabulate(rows, headers=["task", "headline", "protocols", "data"])


def _card(task: dict[str, Any]) -> str:
    facts = {
        **{name: task[name] for name in ("measures", "headline", "size")},
        **{name: ", ".join(task[name]) for name in ("protocols", "data")},
        "answers": f"at most {task['max_new_tokens']} tokens",
        **{name: task[name] for name in ("licence", "citation")},
    }
    lines = [f"{task['title']} ({task['task']})", *(f"  {name + ':':11}{fact}" for name, fact in facts.items())]
    return "\n".join([*lines, *(f"  - {pitfall}" for pitfall in task["pitfalls"])])


def _data() -> list[dict[str, Any]]:
    return [
        {"task": task.name, "data": name, "what": (loader.__doc__ or "").strip()}
        for task in all_tasks()
        for name, loader in task.sources.items()
    ]


def _data_text(sources: list[dict[str, Any]], long: bool) -> str:
    rows = [
        (one["task"], one["data"], " ".join(one["what"].split()) if long else one["what"].split("\n")[0])
        for one in sources
    ]
    return tabulate(rows, headers=["task", "data", ""], maxcolwidths=[None, None, 100])


def _models() -> list[dict[str, Any]]:
    show_life("reading the list of models")
    from moellava import zoo

    return [
        {
            "model": entry.name,
            "llm": entry.llm,
            "kind": "sparse" if entry.sparse or entry.name.startswith("moe") else "dense",
            "weights": "random, for trying things out" if entry.random_weights else entry.source or "never published",
            "published_as": entry.published_as,
            "revision": entry.revision,
            "evidence": entry.evidence,
        }
        for entry in map(zoo.find, zoo.names())
    ]


def _models_text(models: list[dict[str, Any]], long: bool) -> str:
    headers = {"model": "model", "llm": "LLM", "kind": "kind", "weights": "weights"}
    more = {"published_as": "row in published tables", "revision": "revision", "evidence": "read in"} if long else {}
    rows = [[one[name] for name in (*headers, *more)] for one in models]
    return tabulate(rows, headers=[*headers.values(), *more.values()])


def _published() -> list[dict[str, Any]]:
    from moe_eval.table.published import read_published

    return [number.model_dump() for number in read_published()]


def _published_text(numbers: list[dict[str, Any]], long: bool) -> str:
    columns = ["model", "benchmark", "split", "metric", "value", *(["source", "note"] if long else [])]
    return tabulate([[one[name] for name in columns] for one in numbers], headers=columns, disable_numparse=True)


_LISTS: dict[str, tuple[Callable[[], list[dict[str, Any]]], Callable[[list[dict[str, Any]], bool], str]]] = {
    "tasks": (_tasks, _tasks_text),
    "models": (_models, _models_text),
    "data": (_data, _data_text),
    "published": (_published, _published_text),
}


def _about_orientation(task: Task) -> list[str]:
    turning = [name for name, protocol in task.protocols.items() if protocol.upright]
    if not turning:
        return []
    return [
        f"Pictures are asked as they are stored; only {', '.join(turning)} turns them as their EXIF orientation says."
    ]
