"""`moe-eval run`: every model on every task, one run folder each."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from moe_eval.engine.ablation import find_ablation
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.registry import find_task, only_choice, own_tasks
from moe_eval.runs.answering import check_askable, run_folder, run_task
from moe_eval.runs.routing import summarise_routing
from moe_eval.scoring.summary import summarise

__all__ = ["run_models"]


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
) -> None:
    """Run, score, print; everything that can be wrong with names is found before the first model is loaded.

    Args:
        tasks: names; `all` stands for the nine that come with this project.
        data: where samples come from; None: `mini`, or a task's only source.
        protocol: how questions are asked; None: `llava`, or a task's only protocol.
        ablation: what is taken away from every question; None: nothing.
        routing: write down how tokens are routed; of several models, those that have routers.

    Raises:
        UserError: see `moe_eval.runs.answering.run_task`.
    """
    if ablation:
        find_ablation(ablation)
    names = [name for chosen in tasks for name in (own_tasks() if chosen == "all" else [chosen])]
    jobs = []
    for name in dict.fromkeys(names):
        task = find_task(name)
        asked_by = protocol or only_choice(task.protocols, "llava")
        task.protocol(asked_by)
        dataset = task.load(data or only_choice(task.sources, "mini"))
        check_askable(task, dataset)
        jobs.append((task, asked_by, dataset.first(limit) if limit else dataset))
    for model in models:
        model.check_name()
    for model in models:
        records = routing and (len(models) == 1 or model.is_sparse)
        if routing and not records:
            print(f"{model.name}: no sparse layer, so there is no routing to record", flush=True)
        backend = GenerateBackend(model, batch_size, records)
        backend.describe()  # downloads and converts now, with its own progress, not below the bar of a task
        for task, asked_by, dataset in jobs:
            folder = run_folder(out, model.name, task.name, ablation)
            title = f"{model.name}, {ablation}" if ablation else model.name
            with tqdm(total=len(dataset.samples), desc=f"{title} {task.name}", unit="q") as bar:

                def advance(answered: int, total: int, bar: tqdm = bar) -> None:
                    bar.update(answered - bar.n)

                scores = run_task(
                    task,
                    asked_by,
                    dataset,
                    backend,
                    folder,
                    ablation=ablation,
                    routing=records,
                    allow_missing=allow_missing,
                    fresh=fresh,
                    on_answer=advance,
                )
            recorded = f"\n\n{summarise_routing(folder)}" if records else ""
            print(f"\n{title}\n{summarise(scores)}{recorded}\n\nwritten to {folder}\n", flush=True)
