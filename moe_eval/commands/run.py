"""`moe-eval run`: every model on every task, one run folder each."""

import os
from typing import Any

import typer

from moe_eval.commands import run_options
from moe_eval.commands.options import RUNS, JsonOption, ProtocolOption, TaskFileOption, own_task, show_life
from moe_eval.commands.run_models import run_models
from moe_eval.commands.shown import Shown
from moe_eval.commands.workers import ask_in_workers, command_words, fitting_workers, free_gpus
from moe_eval.engine.ablation import find_pruning
from moe_eval.engine.named import find_source
from moe_eval.engine.picture_budget import parse_settings
from moe_eval.errors import UserError
from moe_eval.machine.resources import gpu_memory
from moe_eval.runs.plan import Sampling, make_plans
from moe_eval.runs.shard import parse_shard
from moe_eval.runs.until import parse_until

__all__ = ["run"]


def run(
    context: typer.Context,
    models: run_options.Models,
    tasks: run_options.Tasks = None,
    task_file: TaskFileOption = None,
    data: run_options.Data = None,
    out: run_options.Out = RUNS,
    name: run_options.Name = None,
    revision: run_options.Revision = None,
    adapter: run_options.Adapter = None,
    chat_template: run_options.ChatTemplate = None,
    picture_tokens: run_options.PictureTokens = None,
    processor_kwargs: run_options.ProcessorKwargs = None,
    system: run_options.System = None,
    thinking: run_options.Thinking = None,
    trust_remote_code: run_options.TrustRemoteCode = False,
    protocol: ProtocolOption = None,
    max_new_tokens: run_options.MaxNewTokens = None,
    engine: run_options.Engine = "auto",
    engine_args: run_options.EngineArgs = "",
    batch_size: run_options.BatchSize = 16,
    limit: run_options.Limit = None,
    until: run_options.Until = None,
    shard: run_options.Shard = None,
    workers: run_options.Workers = None,
    ray: run_options.Ray = None,
    allow_missing: run_options.AllowMissing = False,
    fresh: run_options.Fresh = False,
    dtype: run_options.Dtype = "auto",
    quantize: run_options.Quantize = None,
    device_map: run_options.DeviceMap = None,
    device: run_options.Device = "auto",
    temperature: run_options.Temperature = 0.0,
    samples: run_options.Samples = 1,
    router_noise: run_options.RouterNoise = False,
    seed: run_options.Seed = 0,
    seeds: run_options.Seeds = None,
    routing: run_options.Routing = None,
    ablate: run_options.Ablate = None,
    plan: run_options.Plan = False,
    quiet: run_options.Quiet = False,
    verbose: run_options.Verbose = False,
    as_json: JsonOption = False,
) -> None:
    """Answer a task's questions with a model, score the answers, write the run.

    A run that was stopped goes on where it was. A task that fails does not stop the others.

    Example: moe-eval run moe-llava-nano --tasks pope
    """
    names = [name for words in models for name in _names(words)]
    if name and len(names) > 1:
        raise UserError(f"--name {name}: there are {len(names)} models, and one name")
    if seeds and not router_noise:
        raise UserError(f"--seeds {seeds}: seeds are of the routing noise; say --router-noise, too")
    if samples > 1 and not temperature:
        raise UserError(f"--samples {samples}: greedy answers are all the same; say --temperature 1, for example")
    if until and ((workers or 1) > 1 or shard or temperature):
        raise UserError(
            "--until looks at scores while questions are asked: leave out --workers, --shard and --temperature"
        )
    if quiet and verbose:
        raise UserError("--quiet and --verbose: say one of them")
    if not (quiet or as_json):
        show_life(f"looking for {', '.join(names)}")
    defined = own_task(task_file)
    noise = range(seed, seed + (seeds or 1)) if router_noise else [None]
    sources = [
        find_source(
            given,
            engine_args,
            engine,
            dtype=dtype,
            device=_own_gpu(shard, device),
            router_noise_seed=one,
            label=name,
            revision=revision,
            adapter=adapter,
            chat_template=chat_template,
            picture_tokens=picture_tokens,
            quantize=quantize,
            device_map=device_map,
            processor_kwargs=parse_settings(processor_kwargs) if processor_kwargs else None,
            trust_remote_code=trust_remote_code,
            pruning=ablate if find_pruning(ablate) else None,
        )
        for given in names
        for one in noise
    ]
    asked = [word.strip() for word in (tasks or defined or "all").split(",")]
    shown = Shown(quiet=quiet or as_json, verbose=verbose, as_json=as_json)
    settings: dict[str, Any] = {
        "data": data,
        "protocol": protocol,
        "out": out,
        "limit": limit,
        "until": parse_until(until, seed) if until else None,
        "allow_missing": allow_missing,
        "fresh": fresh,
        "ablation": ablate,
        "sampling": Sampling(temperature, samples, seed) if temperature else None,
        "max_new_tokens": max_new_tokens,
        "system": system,
        "thinking": thinking,
    }
    dealt = {"--workers": workers if workers != 1 else None, "--shard": shard, "--ray": ray}
    said = [f"{option} {value}" for option, value in dealt.items() if value]
    if len(said) > 1:
        raise UserError(f"{' and '.join(said)}: say one of them")
    # Drawn answers, and those under noise, would depend on how many processes there are.
    one_process = bool(plan or shard or ray or temperature or router_noise or until or device_map)
    count = workers or (1 if one_process else free_gpus(sources))
    plans = []
    if count > 1 and not plan:
        for source in sources:
            source.check_name()
        plans = [
            one for source in sources for one in make_plans(source.title, asked, source.trained_on_mini, **settings)
        ]
        count = workers or fitting_workers(plans, count)
    if plans and count > 1:
        code = ask_in_workers(plans, command_words(context), count, device, shown)
    else:
        code = run_models(
            sources,
            asked,
            shown,
            engine=engine,
            batch_size=batch_size,
            routing=routing,
            plan_only=plan,
            shard=parse_shard(shard, os.environ) if shard else None,
            ray=ray,
            **settings,
        )
    if code:
        raise typer.Exit(code)


def _own_gpu(shard: str | None, device: str) -> str:
    """The device; under torchrun, which starts several processes on a machine, each takes a GPU of its own."""
    rank = os.environ.get("LOCAL_RANK")
    return (
        f"cuda:{rank}"
        if shard == "torchrun" and device == "auto" and rank and int(rank) < len(gpu_memory())
        else device
    )


def _names(words: str) -> list[str]:
    """Models that are separated by commas; a URL or a file may have some of its own."""
    return [words] if words.startswith(("openai:", "replay:")) else [word for word in words.split(",") if word]
