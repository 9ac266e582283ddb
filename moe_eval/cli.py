"""The command line, `moe-eval`: assembles the commands, each of which stands in `moe_eval/commands/`."""

import gc
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import Abort, TyperException

from moe_eval.errors import UserError

__all__ = ["app", "main"]

COMMANDS = {  # where each is, and its first sentence, so that --help need not import them all
    "run": ("run.run", "Answer a task's questions with a model, score the answers, write the run."),
    "merge": (
        "merge.merge_",
        "Merge the shards of runs (`moe-eval run --shard I/N`), and score what they make together.",
    ),
    "score": ("score.score", "Score stored answers."),
    "import": (
        "import_answers.import_",
        "Make a run of answers that another program wrote; it is scored, compared and tabulated like our own.",
    ),
    "judge": ("judge.judge", "Grade a run's answers with a language model, and score the run."),
    "judge calibrate": (
        "calibrate.judge_calibrate",
        "Hold a judge against the original one, by answers whose original grades are known.",
    ),
    "judge correct": (
        "correct.judge_correct",
        "Correct a judge's score by a few gold grades: few answers graded by people, all by the judge, one valid interval.",
    ),
    "submit": (
        "submit.submit",
        "Write the file that a benchmark's server accepts, checked, and say where to upload it.",
    ),
    "record": (
        "record.record",
        "Record the number that a server gave a run's answers; tables then carry it, marked as the server's.",
    ),
    "table": ("table.table", "Tabulate runs beside published numbers."),
    "report": (
        "report.report",
        "Write one HTML file to look around in: numbers, tables, figures, and every sample with all answers.",
    ),
    "view": (
        "view.view",
        "Follow runs as they go on a local page: progress, time left, scores so far, newest answers; finished ones open "
        "in the report.",
    ),
    "demo": (
        "demo.demo",
        "Talk with one or two models about a picture, see which experts each token takes, and switch experts off.",
    ),
    "compare": (
        "compare.compare",
        "Compare two runs sample by sample: the difference with its interval, whether it may be chance, what flipped.",
    ),
    "check": (
        "check.check",
        "Say whether a run is worse than a baseline: exit code 0 is fine, 1 worse, 2 cannot tell.",
    ),
    "experts": (
        "experts.experts",
        "Ask without each expert in turn, and with fewer per token, and say what every one of them is worth.",
    ),
    "rank": (
        "rank.rank",
        "Rank models over tasks: all pairs compared, one correction, and the ranks that each may have.",
    ),
    "probe": (
        "probe.probe",
        "Say how much of a model's score is seeing: without, with a grey and with another's picture; what the order of options does to it; and which way answers lean.",
    ),
    "certify": (
        "certify.certify",
        "Say whether engines answer a model's questions alike: exit code 0 is equal or within noise, 1 different.",
    ),
    "figures": (
        "figures.figures",
        "Draw the figures of the MoE-LLaVA paper from runs, ready for a paper, with their data as CSV beside them.",
    ),
    "explain": (
        "explain.explain",
        "Say why a number is not the published one: cause by cause, with sizes where they can be computed.",
    ),
    "export": ("export.export", "Write what runs hold as a table for other programs: pandas, datasets, a spreadsheet."),
    "publish": (
        "publish.publish",
        "Write runs as the hub's evaluation files, with interval and protocol: .eval_results/*.yaml and model-index.",
    ),
    "params": ("params.params", "Count parameters, total and activated, and FLOPs, from configurations alone."),
    "list": ("list.list_", "List the tasks, models, data sources or published numbers there are."),
    "doctor": ("doctor.doctor", "Say what there is on this machine, what is missing, and what to do about it."),
}


class Commands(Mapping[str, TyperCommand]):
    """Imports a command when it is wanted."""

    def __getitem__(self, name: str) -> TyperCommand:
        module, function = COMMANDS[name][0].split(".")
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name)(getattr(import_module(f"moe_eval.commands.{module}"), function))
        return typer.main.get_command(alone)  # type: ignore[return-value]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Group(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Commands()  # type: ignore[assignment]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in COMMANDS.items()])


app = typer.Typer(
    cls=Group,
    help="Evaluate vision-language models, sparse and dense, and tabulate the results.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line: exit code 0, or 2 after one line on stderr; a traceback only with `--debug`."""
    # Their warnings are about files that we check ourselves, and about retries before an error that we report.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    for name in (
        "torchao",
        "torch.utils._pytree",
    ):  # where torchao is installed, every import of transformers warns of its parts
        logging.getLogger(name).setLevel(logging.ERROR)
    # Importing torch and transformers makes a million objects and no garbage: looking for it takes 0.7 s while they
    # are imported, and 0.8 s at exit.
    gc.set_threshold(100_000, 50, 100)
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    words = [word for word in arguments if word != "--debug"] or ["--help"]
    if " ".join(words[:2]) in COMMANDS:  # `judge calibrate` is one command; a run folder of that name is ./calibrate
        words[:2] = [" ".join(words[:2])]
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
        sys.exit(_complain(_unexpected(error)))
    finally:
        gc.freeze()
    sys.exit(code or 0)


def _unexpected(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:  # of the system, not of ours: a full disk, a read-only one
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}; what was written before is kept"
    return f"internal error, {type(error).__name__}: {error} (--debug shows where)"


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
