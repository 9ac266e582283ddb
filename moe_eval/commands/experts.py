"""`moe-eval experts`: the same questions without each expert in turn, and what every one of them is worth."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from moe_eval.commands.options import JsonOption, TaskFileOption, own_task, show_life
from moe_eval.commands.shown import Shown
from moe_eval.comparison.worth import as_data, as_markdown, compare_without
from moe_eval.engine.choose import choose_backend
from moe_eval.engine.models import ModelSource
from moe_eval.engine.named import find_source
from moe_eval.engine.sourced import SourcedBackend
from moe_eval.errors import UserError
from moe_eval.evaluation import carry_out
from moe_eval.files.atomic import write_atomically
from moe_eval.runs.plan import make_plans, with_data
from moe_eval.runs.records import read_record
from moe_eval.runs.routing import ROUTING_FILE, RoutingRecord
from moe_eval.runs.stored_run import StoredRun
from moe_eval.task import Dataset

__all__ = ["experts"]

EXPERTS = Path("results/experts")


def experts(
    model: Annotated[str, typer.Argument(help="A sparse model, as for `run`.")],
    tasks: Annotated[str, typer.Option(help="Comma-separated names of `list tasks`, or all.")] = "pope",
    task_file: TaskFileOption = None,
    data: Annotated[str | None, typer.Option(help="Where samples come from; see `list data`.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs that are made, and of MODEL.json.")] = EXPERTS,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask only the first so many questions, in whole groups.")
    ] = None,
    engine: Annotated[str, typer.Option(help="prefix, generate, or auto.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts per batch of generate.")] = 16,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    fresh: Annotated[bool, typer.Option(help="Throw away earlier answers instead of going on from them.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask without each expert in turn, and with fewer per token, and say what every one of them is worth.

    Each is a run of its own, as `moe-eval run --ablate expert=LAYER:EXPERT` makes it; what is finished is not asked again.

    Example: moe-eval experts moe-llava-nano --tasks pope,gqa
    """
    shown = Shown(quiet=as_json, several=True)
    if not as_json:
        show_life(f"looking for {model}")
    source = find_source(model, dtype=dtype, device=device)
    if not isinstance(source, ModelSource):
        raise UserError(f"experts {model}: it is not loaded here, so nothing can be taken away from it")
    source.check_name()
    asked = [word.strip() for word in (own_task(task_file) or tasks).split(",")]
    ablations = source.prunable
    backend, reason = choose_backend(source, engine, batch_size, routing=True)
    assert isinstance(backend, SourcedBackend)  # of a model that is loaded here
    if reason:
        shown.say(f"{source.title}: answered by generate, not by the prefix engine: {reason}")
    runs: dict[str | None, dict[str, StoredRun]] = {}
    loaded: dict[tuple[str, str], Dataset] = {}
    for ablation in (None, *ablations):
        plans = make_plans(
            *(source.title, asked, source.trained_on_mini),
            data=data,
            out=out,
            limit=limit,
            fresh=fresh,
            ablation=ablation,
            routing=ablation is None,
        )
        with backend.without(ablation) if ablation else nullcontext():
            for plan in plans:
                plan = with_data(plan, loaded)
                with shown.progress(plan) as on_answer:
                    carry_out(plan, backend, on_answer)
        runs[ablation] = {plan.task.name: StoredRun.read(plan.folder) for plan in plans}
    whole = runs.pop(None)
    routings = [
        read_record(RoutingRecord, path) for run in whole.values() if (path := run.folder / ROUTING_FILE).is_file()
    ]
    rows = compare_without(whole, {str(name): stored for name, stored in runs.items()}, routings)
    found = json.dumps(as_data(rows), indent=1) + "\n"
    path = out / f"{next(iter(whole.values())).folder.parent.name}.json"
    write_atomically(path, found)
    print(found if as_json else f"\n{as_markdown(rows)}\nwritten to {path}")
