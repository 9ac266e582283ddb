"""`moe-eval probe`: a model without its pictures and with options in another order on every task, and which way its answers lean."""

from pathlib import Path
from typing import Annotated, Any

import typer

from moe_eval.commands.options import RUNS, TaskFileOption, own_task, show_life
from moe_eval.commands.run_models import run_models
from moe_eval.commands.shown import Shown
from moe_eval.comparison.probe import PROBES, probe_tasks
from moe_eval.comparison.probe_text import as_markdown
from moe_eval.engine.ablation import OTHER_ORDER
from moe_eval.engine.named import find_source
from moe_eval.errors import UserError
from moe_eval.files.atomic import write_atomically
from moe_eval.registry import find_task, own_tasks
from moe_eval.runs.plan import run_folder
from moe_eval.runs.stored_run import StoredRun, find_stored_runs

__all__ = ["probe"]


def probe(
    model: Annotated[
        str, typer.Argument(help="As of `moe-eval run`; or a folder of its runs, with the ablated ones beside.")
    ],
    tasks: Annotated[str, typer.Option(help="Comma-separated names of `list tasks`, or all for our nine.")] = "all",
    data: Annotated[str | None, typer.Option(help="Where samples come from; see `list data`.")] = None,
    runs: Annotated[Path, typer.Option(help="Folder of all runs.")] = RUNS,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask only the first so many questions, in whole groups.")
    ] = None,
    engine: Annotated[str, typer.Option(help="prefix, generate or auto.")] = "auto",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the tables to a file, too.")] = None,
    task_file: TaskFileOption = None,
) -> None:
    """Say how much of a model's score is seeing: without, with a grey and with another's picture; what the order of options does to it;
    and which way answers lean.

    Runs that are there already are not asked again.

    Example: moe-eval probe moe-llava-nano --tasks pope,gqa
    """
    defined = own_task(task_file)
    if _holds_runs(Path(model)):
        seen, ablated = find_stored_runs(Path(model)), _beside(Path(model))
        if not ablated:
            raise UserError(
                f"{model}: has no ablated runs beside it ({model}--image=none, …); name the model to make them"
            )
    else:
        names = [defined] if defined and tasks == "all" else _names(tasks)
        _ask(model, names, data, runs, limit, engine)
        seen = _stored(runs, model, None, names)
        ablated = {name: _stored(runs, model, name, _can_be(name, names)) for name in PROBES}
    text = as_markdown(probe_tasks(seen, ablated))
    print(text, end="")
    if out:
        write_atomically(out, text)


def _ask(model: str, tasks: list[str], data: str | None, runs: Path, limit: int | None, engine: str) -> None:
    show_life(f"looking for {model}")
    for ablation in (None, *PROBES):
        possible = _can_be(ablation, tasks)
        if not possible:
            continue
        source = find_source(model, "", engine)
        shown = Shown(several=True)
        settings: dict[str, Any] = {"out": runs, "limit": limit, "ablation": ablation}
        if code := run_models([source], possible, shown, engine=engine, routing=False, data=data, **settings):
            raise typer.Exit(code)


def _can_be(ablation: str | None, tasks: list[str]) -> list[str]:
    """Those of the tasks that have what an ablation changes."""
    return [name for name in tasks if ablation != OTHER_ORDER or find_task(name).options]


def _names(tasks: str) -> list[str]:
    return own_tasks() if tasks == "all" else [word.strip() for word in tasks.split(",")]


def _stored(runs: Path, model: str, variant: str | None, tasks: list[str]) -> dict[str, StoredRun]:
    return {task: StoredRun.read(run_folder(runs, model, task, variant)) for task in tasks}


def _holds_runs(folder: Path) -> bool:
    return (
        any(any(folder.glob(f"**/{name}")) for name in ("scores.json", "scores.json.gz")) if folder.is_dir() else False
    )


def _beside(folder: Path) -> dict[str, dict[str, StoredRun]]:
    """Ablated runs of the same model, where they lie as `moe-eval run` puts them."""
    folders = {name: folder.with_name(f"{folder.name}--{name}") for name in PROBES}
    return {name: find_stored_runs(path) for name, path in folders.items() if _holds_runs(path)}
