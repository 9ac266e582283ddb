"""`moe-eval certify`: the same questions through several engines, and whether they answer alike."""

import gc
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from moe_eval.commands.options import JsonOption, TaskFileOption, own_task, show_life
from moe_eval.commands.run_options import EngineArgs
from moe_eval.commands.shown import Shown
from moe_eval.comparison.certificate import certify_runs
from moe_eval.comparison.certificate_text import as_data, as_markdown
from moe_eval.engine.choose import choose_backend
from moe_eval.engine.named import Source, find_source
from moe_eval.engine.server import ServerSource
from moe_eval.engine.vllm import VllmSource
from moe_eval.errors import UserError, unknown
from moe_eval.evaluation import carry_out
from moe_eval.files.atomic import write_atomically
from moe_eval.runs.plan import Plan, make_plans, path_part
from moe_eval.runs.stored_run import StoredRun

__all__ = ["certify"]

ENGINES = ("generate", "prefix", "vllm")
CERTIFICATES = Path("results/certificates")


def certify(
    model: Annotated[str, typer.Argument(help="As for `run`.")],
    engines: Annotated[
        str, typer.Option(help="generate, prefix, vllm, openai:NAME@URL; the others are held against the first.")
    ] = "generate,prefix",
    tasks: Annotated[str, typer.Option(help="Comma-separated names of `list tasks`.")] = "pope",
    task_file: TaskFileOption = None,
    data: Annotated[str | None, typer.Option(help="Where samples come from; see `list data`.")] = None,
    out: Annotated[
        Path, typer.Option(help="Folder of the runs that are made, and of certificate.json.")
    ] = CERTIFICATES,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask only the first so many questions, in whole groups.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=2, help="Prompts per batch of generate; the control asks one by one.")
    ] = 16,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    engine_args: EngineArgs = "",
    fresh: Annotated[bool, typer.Option(help="Throw away earlier answers instead of going on from them.")] = False,
    show: Annotated[int, typer.Option(min=0, help="Questions to show that differ, per task and engine.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Say whether engines answer a model's questions alike: exit code 0 is equal or within noise, 1 different.

    The control says how many answers differ between two batch sizes of `generate`: what an engine is held against.

    Example: moe-eval certify moe-llava-nano --engines generate,prefix --tasks pope,mme
    """
    names = list(dict.fromkeys(word.strip() for word in engines.split(",") if word.strip()))
    if len(names) < 2:
        raise UserError(f"--engines {engines}: at least two are wanted, such as generate,prefix")
    for name in names:
        if name not in ENGINES and ":" not in name:
            raise unknown("engine", name, ENGINES)
    if engine_args and not any(_takes_arguments(name) for name in names):
        raise UserError(f"--engine-args {engine_args}: none of {engines} has any; vllm and openai:NAME@URL do")
    asked = [word.strip() for word in (own_task(task_file) or tasks).split(",")]
    shown = Shown(quiet=as_json, several=True)
    show_life(f"looking for {model}")
    settings: dict[str, Any] = {"data": data, "limit": limit, "fresh": fresh}
    loading = {"dtype": dtype, "device": device}
    # What is wrong with one of them is found before the first is asked, which may take hours.
    sources = {
        name: _source(model, name, engine_args if _takes_arguments(name) else "", loading)
        for name in dict.fromkeys([*names, "generate"])
    }

    def run(engine: str, folder: str, prompts: int) -> dict[str, StoredRun]:
        plans = make_plans(model, asked, sources["generate"].trained_on_mini, out=out / path_part(folder), **settings)
        return _run(sources[engine], engine, plans, prompts, shown)

    runs = {name: run(name, name, batch_size) for name in names}
    batched = runs.get("generate") or run("generate", "generate", batch_size)
    alone = run("generate", "generate, batches of 1", 1)
    certificates = [
        certificate
        for task in batched
        for certificate in certify_runs(
            {name: stored[task] for name, stored in runs.items()}, (batched[task], alone[task]), names[0]
        )
    ]
    found = json.dumps(as_data(certificates), indent=1) + "\n"
    write_atomically(out / "certificate.json", found)
    control = f"generate, batches of {batch_size} and of 1"
    print(found if as_json else f"\n{as_markdown(certificates, control, show)}", end="", flush=True)
    if any(one.verdict == "different" for one in certificates):
        raise typer.Exit(1)


def _takes_arguments(engine: str) -> bool:
    return engine == "vllm" or engine.startswith("openai:")


def _source(model: str, engine: str, engine_args: str, loading: dict[str, Any]) -> Source:
    """What answers for a model through an engine, which is a server if there is a colon in it."""
    server = ":" in engine
    own = {"label": model} if server else {**loading, "label": model, "engine": engine}
    source = find_source(engine if server else model, engine_args, **own)
    source.check_name()
    if isinstance(source, VllmSource):
        source.check_installed()
    if isinstance(source, ServerSource):
        source.endpoint.models()
    return source


def _run(source: Source, engine: str, plans: Sequence[Plan], batch_size: int, shown: Shown) -> dict[str, StoredRun]:
    """A run per task through one engine, which is gone again when it returns."""
    backend, _ = choose_backend(source, "auto" if ":" in engine else engine, batch_size)
    shown.say(f"{engine}: {', '.join(plan.task.name for plan in plans)}")
    for plan in plans:
        with shown.progress(plan) as on_answer:
            carry_out(plan, backend, on_answer)
    del backend
    _free_memory()
    return {plan.task.name: StoredRun.read(plan.folder) for plan in plans}


def _free_memory() -> None:
    """The next engine needs what the last one had."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
