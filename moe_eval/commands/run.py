"""`moe-eval run`: every model on every task, one run folder each."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from moe_eval.commands.options import RUNS, JsonOption, ProtocolOption, TaskFileOption, own_task, show_life
from moe_eval.commands.run_models import ROUTED_BY_DEFAULT, run_models
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
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="A name of `list models`, a folder, hf:ORG/NAME, openai:NAME@URL (a server), replay:FILE (stored answers), or "
            "vllm: and any of the first three.",
        ),
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
            help="Where samples come from; see `list data`. Default: the papers' questions (from MOE_EVAL_DATA, or the "
            "hub); mini for models trained on it."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of all runs.")] = RUNS,
    name: Annotated[
        str | None, typer.Option(help="What the model is called in folders and tables. Default: as it was given.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of the model's repository on the hub.")
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder of PEFT's to merge into the model's weights.")
    ] = None,
    chat_template: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A chat template to use instead of the model's own.")
    ] = None,
    picture_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="The most tokens that a picture becomes, in whatever way the model's processor has."),
    ] = None,
    processor_kwargs: Annotated[
        str | None,
        typer.Option(metavar="NAME=VALUE,...", help="Settings of the model's image processor instead of its own."),
    ] = None,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The system's words, instead of those of the chat template.")
    ] = None,
    thinking: Annotated[
        bool | None,
        typer.Option(
            help="Let the model think before it answers; its thoughts are kept apart from the answer. Default: not; behind a "
            "server, as that has it."
        ),
    ] = None,
    trust_remote_code: Annotated[
        bool,
        typer.Option("--trust-remote-code", help="Run the Python code that comes with a model; recorded in the run."),
    ] = False,
    protocol: ProtocolOption = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Length limit of an answer. Default: the benchmark's.")
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="prefix (what questions share is computed once), generate (transformers' own), vllm, or auto: prefix where it "
            "can run."
        ),
    ] = "auto",
    engine_args: Annotated[
        str,
        typer.Option(
            metavar="NAME=VALUE,...",
            help="Of a server: concurrency, timeout (seconds a try), key (environment variable), max_calls, max_tokens, "
            "cache (folder), add_special_tokens. Of vLLM: tensor_parallel_size, data_parallel_size, gpu_memory_utilization, max_model_len, "
            "max_num_seqs, enforce_eager.",
        ),
    ] = "",
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts per batch of generate.")] = 16,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask only the first so many questions, in whole groups.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="POINTS|decided:RUN",
            help="Ask pictures in random order (--seed) and stop when half the width of the 95 % interval is down to so many "
            "points, or when it is better or worse than RUN.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Ask only the I-th of N shares, dealt by picture (slurm, torchrun: which, the environment says); "
            "`moe-eval merge` puts them together.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that share the questions, each with a GPU of its own if there are some; if nothing is said, "
            "as many as there are GPUs.",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Ask on all GPUs of a Ray cluster: auto, ray://HOST:PORT, or local for one of this machine.",
        ),
    ] = None,
    allow_missing: Annotated[bool, typer.Option(help="Score without samples whose pictures are unreadable.")] = False,
    fresh: Annotated[bool, typer.Option(help="Throw away earlier answers instead of going on from them.")] = False,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    quantize: Annotated[
        str | None,
        typer.Option(help="8bit (torchao, experts included) or 4bit (bitsandbytes): the language model's weights."),
    ] = None,
    device_map: Annotated[
        str | None,
        typer.Option(help="Spread a model over all GPUs and the memory: auto, balanced, balanced_low_0 or sequential."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    temperature: Annotated[
        float,
        typer.Option(
            min=0.0, help="Draw answers instead of taking the likeliest tokens (0); 1: as likely as they are."
        ),
    ] = 0.0,
    samples: Annotated[int, typer.Option(min=1, help="With --temperature: answers to each question.")] = 1,
    router_noise: Annotated[
        bool, typer.Option(help="Draw second experts with noise, as the original's evaluation does.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, max=(1 << 63) - 1, help="Seed of router noise and of drawn answers.")] = 0,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --router-noise: a run for each of so many seeds, from --seed on, and their spread."
        ),
    ] = None,
    routing: Annotated[
        bool | None,
        typer.Option(
            help="Record which experts tokens get, for `figures`: routing.json. Default: of MoE-LLaVA, for runs of "
            f"up to {ROUTED_BY_DEFAULT:,} questions."
        ),
    ] = None,
    ablate: Annotated[
        str | None,
        typer.Option(
            help="Take something away or change it: image=grey (pictures become grey), image=none, image=shuffled (pictures of "
            "other questions), options=shuffled (options in another order), expert=LAYER:EXPERT (several with commas), top_k=N (experts per token). A run of its own."
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would be asked, of what, from where; ask and fetch nothing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="One line per run, and no progress.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="All numbers of every run. Default: of a single one.")
    ] = False,
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
