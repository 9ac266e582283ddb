"""`moe-eval run --workers N`: the same command as N shards on this machine, with one bar, merged at the end."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from moe_eval.commands.shown import Shown
from moe_eval.engine.models import ModelSource
from moe_eval.engine.named import Source
from moe_eval.errors import UserError
from moe_eval.evaluation import merge
from moe_eval.machine.resources import gpu_memory
from moe_eval.runs.merging import find_shards
from moe_eval.runs.plan import Plan
from moe_eval.runs.shard import SHARDS, Shard
from moe_eval.runs.workers import run_workers

__all__ = ["ask_in_workers", "command_words", "fitting_workers", "free_gpus"]

OF_THE_WHOLE = ("workers", "fresh", "quiet", "verbose", "as_json")
"""Options that are not a shard's business; `--fresh` is said once, so that a shard that is started again keeps its answers."""


def ask_in_workers(plans: Sequence[Plan], words: Sequence[str], count: int, device: str, shown: Shown) -> int:
    """Ask all that is planned in shards, merge them and print what came of it; the exit code comes back.

    Args:
        words: of the command line, as `command_words` gives them.
        device: as it was given.

    Raises:
        UserError: where a worker would have no device of its own, and see `run_workers` and `merge`.
    """
    gpus = len(gpu_memory()) if device != "cpu" else 0
    _check_devices(count, device, gpus)
    shown.several = len(plans) > 1
    fresh = ["--fresh"] if any(plan.fresh for plan in plans) else []

    def folders(shard: Shard) -> list[Path]:
        return [replace(plan, shard=shard).folder for plan in plans]

    shards = [Shard(number, count) for number in range(1, count + 1)]
    for plan in plans:
        for shard in shards:
            shard.of(plan.dataset)  # finds too few pictures before anything is started
    total = sum(len(plan.dataset.samples) for plan in plans)
    with shown.bar(total, f"{count} workers") as on_answer:
        run_workers(
            words,
            fresh,
            count,
            gpus,
            lambda shard: [folder / "responses.jsonl" for folder in folders(shard)],
            lambda answered: on_answer(answered, total),
        )
    for plan in plans:
        with shown.kept_going(plan):
            (stored,) = find_shards([replace(plan, shard=shard).folder for shard in shards])
            _, scores = merge(stored, plan.out, plan.allow_missing)
            shown.scored(plan, scores)
    return shown.end()


def free_gpus(sources: Sequence[Source]) -> int:
    """GPUs of which each can hold a process of its own for every model; 1 without, or where a model chooses otherwise."""
    ours = all(type(source) is ModelSource and source.device in ("auto", "cuda") for source in sources)
    return max(1, len(gpu_memory())) if ours else 1


def fitting_workers(plans: Sequence[Plan], gpus: int) -> int:
    """At most as many as there are GPUs and groups of questions; 1 where one process has begun, whose answers are kept."""
    if any((plan.folder / "responses.jsonl").exists() and not (plan.folder / SHARDS).exists() for plan in plans):
        return 1
    return min(gpus, *(len({sample.group for sample in plan.dataset.samples}) for plan in plans))


def command_words(context: Any) -> list[str]:
    """The words of the command line that a typer context was made of, for a shard of it."""
    words: list[str] = []
    for parameter in context.command.params:
        value = context.params.get(parameter.name)
        if parameter.name in OF_THE_WHOLE or value is None or value == parameter.get_default(context):
            continue
        if parameter.param_type_name == "argument":
            words += map(str, value)
        elif parameter.is_flag:
            words.append((parameter.opts if value else parameter.secondary_opts)[0])
        else:
            words += [parameter.opts[0], str(value)]
    return words


def _check_devices(count: int, device: str, gpus: int) -> None:
    if device not in ("auto", "cuda", "cpu"):
        raise UserError(f"--workers {count}: every worker takes a device of its own; leave --device {device} out")
    if 0 < gpus < count:
        raise UserError(
            f"--workers {count}: a worker needs a GPU, and here {'is 1' if gpus == 1 else f'are {gpus}'}; take fewer, or --device cpu"
        )
