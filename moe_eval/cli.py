"""The command line, `moe-eval`. Commands import what they need when they run, so that `--help` answers at once."""

import gc
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from moe_eval.errors import UserError

__all__ = ["app", "main"]

RUNS = Path("results/runs")
FIGURES = Path("results/figures")
JUDGE_CACHE = Path("results/judge")
OPENAI = "https://api.openai.com/v1"

app = typer.Typer(
    help="Evaluate vision-language models, sparse and dense, and tabulate the results.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ProtocolOption = Annotated[
    str | None, typer.Option(help="How questions are asked and answers scored. Default: llava, or the only one.")
]
TaskFileOption = Annotated[
    Path | None, typer.Option(metavar="FILE.py", help="A Python file that defines a task of your own as TASK.")
]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line: exit code 0, or 2 after one line on stderr; a traceback only with `--debug`."""
    # Their warnings are about files that we check ourselves, and about retries before an error that we report.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    # Importing torch and transformers makes a million objects and no garbage: looking for it takes 0.7 s while they
    # are imported, and 0.8 s at exit.
    gc.set_threshold(100_000, 50, 100)
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    words = [word for word in arguments if word != "--debug"]
    if words[:2] == ["judge", "calibrate"]:  # one command; a run folder of that name is ./calibrate
        words[:2] = ["judge calibrate"]
    try:
        code = app(words, prog_name="moe-eval", standalone_mode=False)
    except (KeyboardInterrupt, Abort):
        sys.exit(_complain("stopped; the same command goes on from here", 130))
    except TyperException as error:
        sys.exit(_complain(error.format_message()))
    except UserError as error:
        if debug:
            raise
        sys.exit(_complain(str(error)))
    except Exception as error:
        if debug:
            raise
        sys.exit(_complain(f"internal error, {type(error).__name__}: {error} (--debug shows where)"))
    finally:
        gc.freeze()
    sys.exit(code or 0)


def _complain(message: str, code: int = 2) -> int:
    print(f"moe-eval: {' '.join(message.split())}", file=sys.stderr)
    return code


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("moe-llava-eval"))
        raise typer.Exit()


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; works after a command, too.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    pass


@app.command()
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
    from moe_eval.commands.run import run_models
    from moe_eval.engine.models import ModelSource

    own_task = _load_task_file(task_file)
    noise = seed if router_noise else None
    names = [name for word in models for name in word.split(",") if name]
    code = run_models(
        [ModelSource(name, dtype=dtype, device=device, router_noise_seed=noise) for name in names],
        tasks=[name.strip() for name in (tasks or own_task or "all").split(",")],
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


@app.command()
def score(
    task: Annotated[str, typer.Argument(help="A name of `list tasks`.")],
    answers: Annotated[
        Path,
        typer.Argument(help="A run folder, or a file of answers: ours, LLaVA's, lmms-eval's (.jsonl, .jsonl.gz)."),
    ],
    data: Annotated[
        str | None,
        typer.Option(help="What was asked. Default: the run's own data, or the task's official ones."),
    ] = None,
    task_file: TaskFileOption = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="How answers are scored; `all`: every way there is, and where they disagree. "
            "Default: llava, or the only one."
        ),
    ] = None,
    allow_missing: Annotated[bool, typer.Option(help="Leave out questions that have no answer.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what scores.json would hold.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Replace the scores.json of a run.")] = False,
) -> None:
    """Score stored answers.

    Example: moe-eval score pope tests/data/llava15_13b/pope.jsonl.gz --protocol all
    """
    from moe_eval.commands.score import score_file

    _load_task_file(task_file)
    print(score_file(task, answers, data, protocol, allow_missing, as_json, write))


@app.command("import")
def import_(
    task: Annotated[str, typer.Argument(help="A name of `list tasks`.")],
    answers: Annotated[
        list[Path],
        typer.Argument(
            metavar="ANSWERS...", help="LLaVA's answers/*.jsonl, lmms-eval's *_samples_*.jsonl, or folders of chunks."
        ),
    ],
    model: Annotated[str, typer.Option(help="Who answered; a name of `list models` fills in the table's columns.")],
    llm: Annotated[str | None, typer.Option(help="The language model inside, for tables.")] = None,
    data: Annotated[str | None, typer.Option(help="What was asked. Default: the task's official data.")] = None,
    task_file: TaskFileOption = None,
    protocol: Annotated[
        str | None, typer.Option(help="How to score. Default: as the program that wrote the answers does.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of all runs.")] = RUNS,
    allow_missing: Annotated[bool, typer.Option(help="Leave out questions that have no answer.")] = False,
    fresh: Annotated[bool, typer.Option(help="Throw away what the run's folder holds.")] = False,
) -> None:
    """Make a run of answers that another program wrote; it is scored, compared and tabulated like our own.

    Example: moe-eval import pope tests/data/llava15_13b/pope.jsonl.gz --model llava-1.5-13b
    """
    from moe_eval.commands.import_answers import import_answers

    _load_task_file(task_file)
    print(import_answers(task, answers, model, llm, data, protocol, out, allow_missing, fresh))


JudgeOption = Annotated[str | None, typer.Option("--model", help="Name of the judge. Default: the original's.")]
UrlOption = Annotated[str, typer.Option(help="Any OpenAI-compatible endpoint.")]
KeyOption = Annotated[str, typer.Option(help="Environment variable that holds the key.")]
JudgeRunsOption = Annotated[
    int | None, typer.Option(min=1, help="Grade each answer so often. Default: as the original.")
]
MaxCallsOption = Annotated[int | None, typer.Option(min=0, help="Ask the judge at most so often.")]
MaxTokensOption = Annotated[int | None, typer.Option(min=0, help="Spend at most so many tokens, in and out.")]
ConcurrencyOption = Annotated[int, typer.Option(min=1, help="Calls at the same time.")]
TimeoutOption = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for a reply.")]
CacheOption = Annotated[Path, typer.Option(help="Folder of everything that judges have said.")]


@app.command()
def judge(
    run: Annotated[Path, typer.Argument(help="The folder of a run whose task needs a judge.")],
    model: JudgeOption = None,
    url: UrlOption = OPENAI,
    key_variable: KeyOption = "OPENAI_API_KEY",
    runs: JudgeRunsOption = None,
    max_calls: MaxCallsOption = None,
    max_tokens: MaxTokensOption = None,
    concurrency: ConcurrencyOption = 8,
    timeout: TimeoutOption = 60.0,
    cache: CacheOption = JUDGE_CACHE,
    task_file: TaskFileOption = None,
) -> None:
    """Grade a run's answers with a language model, and score the run.

    MM-Vet needs it; of MMBench it reads, where it is wanted, the answers whose letter the rules do not find. What was
    said before is not asked again.

    Example: moe-eval judge results/runs/llava-1.5-7b/mmvet --model gpt-4-0613 --runs 5
    """
    from moe_eval.commands.judge import Asking, judge_run
    from moe_eval.judge.grading import Budget

    _load_task_file(task_file)
    budget = Budget(max_calls, max_tokens)
    judge_run(run, Asking(model, url, key_variable, runs, budget, concurrency, timeout, cache))


@app.command("judge calibrate")
def judge_calibrate(
    answers: Annotated[
        Path, typer.Argument(help="Answers that the original has graded: .jsonl with question_id, text and grades.")
    ],
    grades: Annotated[
        Path | None,
        typer.Option(
            help="Their grades, if they are elsewhere: .jsonl with question_id and grades, or MM-Vet's .json."
        ),
    ] = None,
    task: Annotated[str, typer.Option(help="A task that is graded by a judge.")] = "mmvet",
    data: Annotated[str, typer.Option(help="Questions and reference answers; see `list data`.")] = "hub",
    protocol: ProtocolOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    model: JudgeOption = None,
    url: UrlOption = OPENAI,
    key_variable: KeyOption = "OPENAI_API_KEY",
    runs: JudgeRunsOption = None,
    max_calls: MaxCallsOption = None,
    max_tokens: MaxTokensOption = None,
    concurrency: ConcurrencyOption = 8,
    timeout: TimeoutOption = 60.0,
    cache: CacheOption = JUDGE_CACHE,
    task_file: TaskFileOption = None,
) -> None:
    """Hold a judge against the original one, by answers whose original grades are known.

    Says how often they agree, how many points the judge is off, and whether its numbers can stand beside published
    ones.

    Example: moe-eval judge calibrate answers/llava-v1.5-13b.jsonl --grades results/llava-v1.5-13b-grade.json --model gpt-4o
    """
    from moe_eval.commands.calibrate import calibrate_judge
    from moe_eval.commands.judge import Asking
    from moe_eval.judge.grading import Budget

    _load_task_file(task_file)
    asking = Asking(model, url, key_variable, runs, Budget(max_calls, max_tokens), concurrency, timeout, cache)
    calibrate_judge(task, answers, grades, data, protocol, asking, as_json)


@app.command()
def submit(
    run: Annotated[Path, typer.Argument(help="The folder of a run on a split whose answers a server has.")],
    data: Annotated[
        str | None, typer.Option(help="All that the server wants answered, where that is more than the run's data.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write. Default: in the run's folder.")] = None,
    task_file: TaskFileOption = None,
) -> None:
    """Write the file that a benchmark's server accepts, checked, and say where to upload it.

    Example: moe-eval submit results/runs/llava-1.5-7b/vizwiz
    """
    from moe_eval.commands.submit import submit_run

    _load_task_file(task_file)
    print(submit_run(run, data, out))


@app.command()
def record(
    run: Annotated[Path, typer.Argument(help="The folder of a run whose number is pending.")],
    value: Annotated[float, typer.Argument(help="What the server says, in the headline's units.")],
    source: Annotated[str | None, typer.Option(help="Who says it. Default: the server that submit names.")] = None,
    task_file: TaskFileOption = None,
) -> None:
    """Record the number that a server gave a run's answers; tables then carry it, marked as the server's.

    Example: moe-eval record results/runs/llava-1.5-7b/vizwiz 50.0 --source "EvalAI submission 12345"
    """
    from moe_eval.commands.record import record_number

    _load_task_file(task_file)
    print(record_number(run, value, source))


@app.command()
def table(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN...]", help="Run folders, or folders of them.")
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            help="main (nine benchmarks), pope, headlines (of every task), params, reproduction, protocols, ablation. "
            "Default: pope if all runs are of POPE, headlines if none is of the nine, else main."
        ),
    ] = None,
    format_name: Annotated[
        str | None, typer.Option("--format", help="md, latex, csv or html. Default: what suits the terminal.")
    ] = None,
    published: Annotated[
        str | None,
        typer.Option(
            help="Published rows: all, paper (those of MoE-LLaVA's tables), own (the measured models'), none. "
            "Default: all, or none where no run is on the data that they are about."
        ),
    ] = None,
    intervals: Annotated[bool, typer.Option(help="Show the 95 % intervals of measured numbers.")] = True,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of the terminal.")] = None,
) -> None:
    """Tabulate runs beside published numbers.

    Example: moe-eval table results/runs --layout main --format latex --published paper
    """
    from moe_eval.commands.table import show_table

    show_table(runs or ([RUNS] if RUNS.is_dir() else []), layout, format_name, published, intervals, out)


@app.command()
def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN...]", help="Run folders, or folders of them.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("results/report.html"),
    limit_images: Annotated[
        int, typer.Option(min=0, help="Pictures to take in, per set of questions; later ones are only named.")
    ] = 1000,
    thumbnail: Annotated[int, typer.Option(min=16, max=1024, help="Longest side of a picture in pixels.")] = 160,
    task_file: TaskFileOption = None,
) -> None:
    """Write one HTML file to look around in: numbers, tables, figures, and every sample with all answers.

    It needs no network and no server.

    Example: moe-eval report results/runs --out results/report.html
    """
    from moe_eval.report.write import write_report

    _load_task_file(task_file)
    print(write_report(runs or ([RUNS] if RUNS.is_dir() else []), out, limit_images, thumbnail))


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run folder, or a folder with one run per task.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="What it is compared with; differences are B − A.")],
    common: Annotated[
        bool, typer.Option(help="Compare the samples that both have, though data, prompts or protocols differ.")
    ] = False,
    flips: Annotated[int, typer.Option(min=0, help="Answers to show that B lost, and as many that it won.")] = 5,
    format_name: Annotated[str | None, typer.Option("--format", help="md or json. Default: md.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of the terminal.")] = None,
    task_file: TaskFileOption = None,
) -> None:
    """Compare two runs sample by sample: the difference with its interval, whether it may be chance, what flipped.

    Example: moe-eval compare results/runs/llava-nano results/runs/moe-llava-nano
    """
    from moe_eval.commands.compare import show_comparison

    _load_task_file(task_file)
    show_comparison(first, second, flips, common, format_name, out)


@app.command()
def check(
    run: Annotated[Path, typer.Argument(help="A run folder, or a folder with one run per task.")],
    against: Annotated[
        Path,
        typer.Option(
            help="The baseline: the same, plain or gzipped; or the name of one that comes along, such as moe-llava-nano."
        ),
    ],
    tolerance: Annotated[
        float, typer.Option(min=0, help="Accepted drop, in percent of the headline's maximum (points of a percentage).")
    ] = 0.5,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a Markdown summary.")] = None,
    task_file: TaskFileOption = None,
) -> None:
    """Say whether a run is worse than a baseline: exit code 0 is fine, 1 worse, 2 cannot tell.

    Worse: a headline dropped beyond the tolerance, or significantly. Fine: a drop beyond the tolerance is excluded by the 95 %
    interval of the difference. Cannot tell: too few samples for that, or runs that cannot be compared.

    Example: moe-eval check results/runs/moe-llava-nano --against results/baselines/moe-llava-nano
    """
    from moe_eval.commands.check import check_run

    _load_task_file(task_file)
    raise typer.Exit(check_run(run, against, tolerance, junit, markdown))


@app.command()
def figures(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN...]", help="Run folders, or folders of them.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = FIGURES,
    formats: Annotated[str, typer.Option("--format", help="Comma-separated: svg, pdf, png.")] = "svg",
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--figure",
            help="params, tasks, pope-yes-ratio, expert-load, modality or pathways; several times for several. "
            "Default: all that there are data for.",
        ),
    ] = None,
    published: Annotated[bool, typer.Option(help="Published numbers beside measured ones.")] = True,
) -> None:
    """Draw the figures of the MoE-LLaVA paper from runs, ready for a paper, with their data as CSV beside them.

    Those of experts need runs made with `--routing`.

    Example: moe-eval figures results/runs --figure params --format svg,pdf
    """
    from moe_eval.commands.figures import write_figures

    kinds = [name.strip() for name in formats.split(",")]
    write_figures(runs or ([RUNS] if RUNS.is_dir() else []), out, kinds, names or [], published)


@app.command()
def explain(
    run: Annotated[Path, typer.Argument(help="The folder of one run.")],
    against: Annotated[
        str | None,
        typer.Option(help="The published model to hold it against, such as LLaVA-1.5-7B. Default: the one it names."),
    ] = None,
    format_name: Annotated[
        str | None, typer.Option("--format", help="md or json. Default: what suits the terminal.")
    ] = None,
    task_file: TaskFileOption = None,
) -> None:
    """Say why a number is not the published one: cause by cause, with sizes where they can be computed.

    Example: moe-eval explain results/runs/llava-1.5-13b/pope
    """
    from moe_eval.commands.explain import explain_run

    _load_task_file(task_file)
    explain_run(run, against, format_name)


@app.command()
def export(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN...]", help="Run folders, or folders of them.")
    ] = None,
    out: Annotated[Path, typer.Option(help="File to write: .parquet, .csv or .jsonl.")] = Path(
        "results/samples.parquet"
    ),
    what: Annotated[str, typer.Option(help="samples (a row per question) or summary (a row per run).")] = "samples",
    task_file: TaskFileOption = None,
) -> None:
    """Write what runs hold as a table for other programs: pandas, datasets, a spreadsheet.

    Example: moe-eval export results/runs --out samples.parquet
    """
    from moe_eval.commands.export import export_runs

    _load_task_file(task_file)
    print(export_runs(runs or [RUNS], out, what))


@app.command()
def params(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="A name of `list models`, or a folder.")],
    text_tokens: Annotated[int, typer.Option(min=1, help="Text tokens of the prompt whose FLOPs are counted.")] = 64,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count parameters, total and activated, and FLOPs, from configurations alone.

    Example: moe-eval params moe-llava-2.7bx4 llava-1.5-13b
    """
    from moe_eval.commands.params import parameter_report

    print(parameter_report(models, text_tokens, as_json))


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(metavar="tasks|models|data", help="What to list.")],
    long: Annotated[bool, typer.Option("--long", help="With everything there is to know.")] = False,
    task_file: TaskFileOption = None,
) -> None:
    """List the tasks, models or data sources there are.

    Example: moe-eval list tasks --long
    """
    from moe_eval.commands.list import listing

    _load_task_file(task_file)
    print(listing(what, long))


@app.command()
def doctor(
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the hub.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what there is on this machine, what is missing, and what to do about it.

    Exit code 1 if something is missing that `moe-eval run` needs; nothing else of the list has to be there.

    Example: moe-eval doctor --offline
    """
    from moe_eval.commands.doctor import show_findings

    raise typer.Exit(show_findings(offline, as_json))


def _load_task_file(path: Path | None) -> str | None:
    """Name of the task that the file defines, which is found by that name from now on."""
    from moe_eval.registry import load_task_file

    return load_task_file(path).name if path else None
