"""`moe-eval run`: every model on every task, one run folder each."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from moe_eval.commands.options import RUNS, ProtocolOption, TaskFileOption, own_task
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.errors import UserError
from moe_eval.evaluation import carry_out
from moe_eval.runs.plan import Plan, make_plans
from moe_eval.runs.preview import preview
from moe_eval.runs.routing import summarise_routing
from moe_eval.scoring.summary import summarise
from moe_eval.task import Dataset

__all__ = ["run", "run_models"]


def run(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help="A name of `list models`, a folder, or hf:ORG/NAME."),
    ],
    tasks: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated names of `list tasks`, lmms:NAME for a task of lmms-eval, or all for our nine. "
            "Default: all, or the task of --task-file."
        ),
    ] = None,
    task_file: TaskFileOption = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Where samples come from; see `list data`. Default: the papers' questions (from MOE_EVAL_DATA, or the hub); mini for models trained on it."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of all runs.")] = RUNS,
    protocol: ProtocolOption = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts per batch.")] = 16,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only the first so many questions.")] = None,
    allow_missing: Annotated[bool, typer.Option(help="Score without samples whose pictures are unreadable.")] = False,
    fresh: Annotated[bool, typer.Option(help="Throw away earlier answers instead of going on from them.")] = False,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    router_noise: Annotated[
        bool, typer.Option(help="Draw second experts with noise, as the original's evaluation does.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the router noise.")] = 0,
    routing: Annotated[
        bool, typer.Option("--routing", help="Record which experts tokens get, for `figures`: routing.json.")
    ] = False,
    ablate: Annotated[
        str | None,
        typer.Option(help="Take something away: image=grey (pictures become grey), image=none. A run of its own."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would be asked, of what, from where; ask and fetch nothing.")
    ] = False,
) -> None:
    """Answer a task's questions with a model, score the answers, write the run.

    A run that was stopped goes on where it was. A task that fails does not stop the others.

    Example: moe-eval run moe-llava-nano --tasks pope
    """
    defined = own_task(task_file)
    noise = seed if router_noise else None
    names = [name for word in models for name in word.split(",") if name]
    code = run_models(
        [ModelSource(name, dtype=dtype, device=device, router_noise_seed=noise) for name in names],
        tasks=[name.strip() for name in (tasks or defined or "all").split(",")],
        data=data,
        protocol=protocol,
        out=out,
        batch_size=batch_size,
        limit=limit,
        allow_missing=allow_missing,
        fresh=fresh,
        ablation=ablate,
        routing=routing,
        plan_only=plan,
    )
    if code:
        raise typer.Exit(code)


def run_models(
    models: Sequence[ModelSource],
    tasks: Sequence[str],
    data: str | None,
    protocol: str | None,
    out: Path,
    batch_size: int,
    limit: int | None,
    allow_missing: bool,
    fresh: bool,
    ablation: str | None = None,
    routing: bool = False,
    plan_only: bool = False,
) -> int:
    """Run, score, print; everything that can be wrong with names is found before the first model is loaded.

    A task that fails does not stop the others. With `plan_only` nothing is asked and nothing fetched.

    Returns:
        The exit code: 0, or 2 if a task failed.

    Raises:
        UserError: for names that do not exist, and where a single run was asked for and fails.
    """
    settings = {"out": out, "limit": limit, "ablation": ablation, "allow_missing": allow_missing, "fresh": fresh}
    jobs = [
        (model, make_plans(model.name, tasks, model.trained_on_mini, data=data, protocol=protocol, **settings))
        for model in models
    ]
    for model in models:
        model.check_name()
    if plan_only:
        print("\n\n".join(preview(model, plans, batch_size) for model, plans in jobs))
        return 0
    loaded: dict[tuple[str, str], Dataset] = {}  # models share what they are asked
    several = sum(len(plans) for _, plans in jobs) > 1
    failures: list[tuple[Plan, UserError]] = []
    for model, plans in jobs:
        if not model.is_local:
            print(preview(model, plans, batch_size) + "\n", flush=True)
        ready = []
        for plan in plans:
            with _kept_going(plan, failures, several):
                key = (plan.task.name, plan.source)
                if key not in loaded:
                    loaded[key] = plan.task.load(plan.source)
                ready.append(replace(plan, data=loaded[key]))
        records = routing and (len(models) == 1 or model.is_sparse)
        if routing and not records:
            print(f"{model.name}: no sparse layer, so there is no routing to record", flush=True)
        backend = GenerateBackend(model, batch_size, records)
        if ready:
            backend.describe()  # downloads and converts now, with its own progress, not below the bar of a task
        for plan in ready:
            with _kept_going(plan, failures, several):
                _run(replace(plan, routing=records), backend)
    for plan, failure in failures:
        print(f"failed: {plan.title}, {plan.task.name}: {' '.join(str(failure).split())}")
    return 2 if failures else 0


@contextmanager
def _kept_going(plan: Plan, failures: list[tuple[Plan, UserError]], several: bool) -> Iterator[None]:
    """Inside, what goes wrong with one of several runs is printed and noted; with a single one it is raised."""
    try:
        yield
    except UserError as error:
        if not several:
            raise
        failures.append((plan, error))
        print(f"\n{plan.title}, {plan.task.name}: failed: {error}\n", flush=True)


def _run(plan: Plan, backend: GenerateBackend) -> None:
    asked, whole = len(plan.dataset.samples), len(plan.data.samples) if plan.data else 0
    if plan.limit and asked < whole:
        print(
            f"{plan.task.name}: asks {asked:,} of {whole:,} questions (--limit {plan.limit}, whole groups)", flush=True
        )
    submission = plan.task.submission
    if submission and all(sample.gold is None for sample in plan.dataset.samples) and not plan.protocol.judge:
        other = f"; answers to --data {submission.scored_here} are scored here" if submission.scored_here else ""
        print(
            f"{plan.task.name}: the right answers of {plan.source} are hidden: the number comes from {submission.upload}, "
            f"for the file that `moe-eval submit` writes{other}",
            flush=True,
        )
    with tqdm(total=asked, desc=f"{plan.title} {plan.task.name}", unit="q") as bar:

        def advance(answered: int, total: int) -> None:
            bar.update(answered - bar.n)

        scores = carry_out(plan, backend, advance)
    recorded = f"\n\n{summarise_routing(plan.folder)}" if plan.routing else ""
    print(f"\n{plan.title}\n{summarise(scores)}{recorded}\n\nwritten to {plan.folder}\n", flush=True)
