"""The options of `moe-eval run`, in the order in which `--help` shows them."""

from pathlib import Path
from typing import Annotated

import typer

from moe_eval.commands.run_models import ROUTED_BY_DEFAULT

Models = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL...",
        help="A name of `list models`, a folder, hf:ORG/NAME, openai:NAME@URL (a server), replay:FILE (stored answers), or "
        "vllm: and any of the first three.",
    ),
]
Tasks = Annotated[
    str | None,
    typer.Option(
        help="Comma-separated names of `list tasks`, lmms:NAME for a task of lmms-eval, or all for our nine. "
        "Default: all, or the task of --task-file."
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        help="Where samples come from; see `list data`. Default: the papers' questions (from MOE_EVAL_DATA, or the "
        "hub); mini for models trained on it."
    ),
]
Out = Annotated[Path, typer.Option(help="Folder of all runs.")]
Name = Annotated[
    str | None, typer.Option(help="What the model is called in folders and tables. Default: as it was given.")
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of the model's repository on the hub.")]
Adapter = Annotated[
    Path | None, typer.Option(metavar="DIR", help="A folder of PEFT's to merge into the model's weights.")
]
ChatTemplate = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A chat template to use instead of the model's own.")
]
PictureTokens = Annotated[
    int | None,
    typer.Option(min=1, help="The most tokens that a picture becomes, in whatever way the model's processor has."),
]
ProcessorKwargs = Annotated[
    str | None,
    typer.Option(metavar="NAME=VALUE,...", help="Settings of the model's image processor instead of its own."),
]
System = Annotated[
    str | None, typer.Option(metavar="TEXT", help="The system's words, instead of those of the chat template.")
]
Thinking = Annotated[
    bool | None,
    typer.Option(
        help="Let the model think before it answers; its thoughts are kept apart from the answer. Default: not; behind a "
        "server, as that has it."
    ),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option("--trust-remote-code", help="Run the Python code that comes with a model; recorded in the run."),
]
MaxNewTokens = Annotated[int | None, typer.Option(min=1, help="Length limit of an answer. Default: the benchmark's.")]
Engine = Annotated[
    str,
    typer.Option(
        help="prefix (what questions share is computed once), generate (transformers' own), vllm, or auto: prefix where it "
        "can run."
    ),
]
EngineArgs = Annotated[
    str,
    typer.Option(
        metavar="NAME=VALUE,...",
        help="Of a server: concurrency, timeout (seconds a try), key (environment variable), max_calls, max_tokens, "
        "cache (folder), add_special_tokens. Of vLLM: tensor_parallel_size, data_parallel_size, gpu_memory_utilization, max_model_len, "
        "max_num_seqs, enforce_eager.",
    ),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Prompts per batch of generate.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Ask only the first so many questions, in whole groups.")]
Until = Annotated[
    str | None,
    typer.Option(
        metavar="POINTS|decided:RUN",
        help="Ask pictures in random order (--seed) and stop when half the width of the 95 % interval is down to so many "
        "points, or when it is better or worse than RUN.",
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Ask only the I-th of N shares, dealt by picture (slurm, torchrun: which, the environment says); "
        "`moe-eval merge` puts them together.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processes that share the questions, each with a GPU of its own if there are some; if nothing is said, "
        "as many as there are GPUs.",
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Ask on all GPUs of a Ray cluster: auto, ray://HOST:PORT, or local for one of this machine.",
    ),
]
AllowMissing = Annotated[bool, typer.Option(help="Score without samples whose pictures are unreadable.")]
Fresh = Annotated[bool, typer.Option(help="Throw away earlier answers instead of going on from them.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Quantize = Annotated[
    str | None,
    typer.Option(help="8bit (torchao, experts included) or 4bit (bitsandbytes): the language model's weights."),
]
DeviceMap = Annotated[
    str | None,
    typer.Option(help="Spread a model over all GPUs and the memory: auto, balanced, balanced_low_0 or sequential."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Temperature = Annotated[
    float,
    typer.Option(min=0.0, help="Draw answers instead of taking the likeliest tokens (0); 1: as likely as they are."),
]
Samples = Annotated[int, typer.Option(min=1, help="With --temperature: answers to each question.")]
RouterNoise = Annotated[bool, typer.Option(help="Draw second experts with noise, as the original's evaluation does.")]
Seed = Annotated[int, typer.Option(min=0, max=(1 << 63) - 1, help="Seed of router noise and of drawn answers.")]
Seeds = Annotated[
    int | None,
    typer.Option(min=1, help="With --router-noise: a run for each of so many seeds, from --seed on, and their spread."),
]
Routing = Annotated[
    bool | None,
    typer.Option(
        help="Record which experts tokens get, for `figures`: routing.json. Default: of MoE-LLaVA, for runs of "
        f"up to {ROUTED_BY_DEFAULT:,} questions."
    ),
]
Ablate = Annotated[
    str | None,
    typer.Option(
        help="Take something away or change it: image=grey (pictures become grey), image=none, image=shuffled (pictures of "
        "other questions), options=shuffled (options in another order), expert=LAYER:EXPERT (several as expert=0:1,expert=2:3), top_k=N (experts per token). A run of its own."
    ),
]
Plan = Annotated[
    bool, typer.Option("--plan", help="Say what would be asked, of what, from where; ask and fetch nothing.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="One line per run, and no progress.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="All numbers of every run. Default: of a single one.")]
