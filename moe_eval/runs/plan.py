"""What one run is going to be: decided once, printed by `--plan`, carried out, recorded in `run.json`.

A plan is made from names alone; its data are loaded when they are first looked at, so that a plan can be shown before
anything is fetched.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from moe_eval.engine.ablation import OTHER_ORDER, find_ablation
from moe_eval.errors import UserError
from moe_eval.metrics.totals import OfTotals
from moe_eval.registry import find_task, only_choice, own_tasks
from moe_eval.runs.asked import as_asked
from moe_eval.runs.shard import Shard
from moe_eval.runs.until import Until
from moe_eval.task import Dataset, Task, TaskProtocol

__all__ = ["DATA_VARIABLE", "Plan", "Sampling", "default_source", "make_plans", "path_part", "run_folder", "with_data"]

DATA_VARIABLE = "MOE_EVAL_DATA"
"""Environment variable that names a folder in the layout of LLaVA's `playground/data/eval`."""

LLAVA_FOLDERS = {"mmvet": "mm-vet"}
"""LLaVA's names of the folders of tasks, where they are not the task's."""

USUAL_PROTOCOL = "llava"

THOUGHT_TOKENS = 4096
"""What a model that thinks may spend on it beside the benchmark's limit of an answer."""


@dataclass(frozen=True)
class Sampling:
    """Answers that are drawn instead of greedy.

    Args:
        temperature: above 0; at 1 tokens are drawn with the model's probabilities.
        samples: answers to each question.
        seed: of what is drawn.
    """

    temperature: float
    samples: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Plan:
    """One model on one task.

    Args:
        model: its name, for folders and titles.
        task: what is asked.
        protocol_name: how it is asked and scored.
        source: where its samples come from, as `--data` has it.
        out: the folder of all runs.
        limit: ask at most so many questions, in whole groups.
        ablation: what is taken away from (or changed in) every question, a name of `moe_eval.engine.ablation.ABLATIONS`, or
            taken away from the model.
        routing: write down how tokens are routed; the backend must say it.
        allow_missing: score without the samples whose pictures cannot be opened, instead of failing at the end.
        fresh: throw away what the folder holds of an earlier run.
        max_new_tokens: length limit of an answer; None: the protocol's or the task's.
        sampling: how answers are drawn; None: they are greedy.
        system: the system's words; None: those of the model's chat template.
        thinking: whether the model is to think before it answers, which makes the length limit larger by `THOUGHT_TOKENS`;
            see `moe_eval.engine.backend.Request`.
        router_noise_seed: the model's, which keeps runs with different noise apart.
        data: the samples, where they are at hand already; otherwise `source` is loaded.
        shard: the share of the questions that is asked; None: all.
        at: the run's folder, where it is not the usual one.
        until: when to stop asking; None: when all is asked.

    Raises:
        UserError: for a protocol, a source or an ablation that does not exist, and answers that cannot be drawn.
    """

    model: str
    task: Task
    protocol_name: str
    source: str
    out: Path = Path("results/runs")
    limit: int | None = None
    ablation: str | None = None
    routing: bool = False
    allow_missing: bool = False
    fresh: bool = False
    max_new_tokens: int | None = None
    sampling: Sampling | None = None
    system: str | None = None
    thinking: bool | None = None
    router_noise_seed: int | None = None
    data: Dataset | None = None
    shard: Shard | None = None
    at: Path | None = None
    until: Until | None = None

    def __post_init__(self) -> None:
        self.task.protocol(self.protocol_name)
        if self.data is None:
            self.task.check_source(self.source)
        if self.ablation:
            find_ablation(self.ablation)
        if self.ablation == OTHER_ORDER and self.task.options is None:
            with_some = ", ".join(name for name in own_tasks() if find_task(name).options)
            raise UserError(
                f"--ablate {OTHER_ORDER}: questions of {self.task.name} have no options; those of {with_some} have some"
            )
        if self.sampling and self.protocol.continuations:
            raise UserError(
                f"--temperature: protocol {self.protocol_name} draws no answers, it measures them; leave it out"
            )
        if self.thinking and self.protocol.continuations:
            raise UserError(f"--thinking: protocol {self.protocol_name} measures given answers; leave it out")
        if self.sampling and not isinstance(self.protocol.aggregate, OfTotals):
            raise UserError(
                f"--temperature: {self.task.name} puts its scores together in a way that knows one answer per question; "
                "see `of_totals` in docs/adding-a-task.md"
            )

    @property
    def protocol(self) -> TaskProtocol:
        return self.task.protocol(self.protocol_name)

    @property
    def folder(self) -> Path:
        folder = self.at or run_folder(self.out, self.model, self.task.name, self._variant)
        return self.shard.folder(folder) if self.shard else folder

    @property
    def asked(self) -> int:
        """How many answers there are to be."""
        return len(self.dataset.samples) * (self.sampling.samples if self.sampling else 1)

    @property
    def title(self) -> str:
        """Such as `llava-nano, image=grey`."""
        return f"{self.model}, {self._variant}" if self._variant else self.model

    @property
    def _variant(self) -> str:
        """What keeps it from lying among the model's other runs: its answers are made otherwise, or to other questions."""
        measured = self.protocol_name if self.protocol.continuations else None
        noise = None if self.router_noise_seed is None else f"noise-seed{self.router_noise_seed}"
        drawn = f"temperature{self.sampling.temperature:g}" if self.sampling else None
        system = self.system and f"system-{hashlib.sha256(self.system.encode()).hexdigest()[:8]}"
        thinking = "thinking" if self.thinking else None
        until = self.until.words if self.until else None
        return "+".join(filter(None, (measured, noise, drawn, system, thinking, self.ablation, until)))

    @property
    def answer_limit(self) -> int:
        """The most tokens of an answer, thoughts included."""
        if self.max_new_tokens:
            return self.max_new_tokens
        limit = self.protocol.max_new_tokens or self.task.max_new_tokens
        return limit + THOUGHT_TOKENS if self.thinking else limit

    @cached_property
    def dataset(self) -> Dataset:
        """The samples as they are asked: all, or the shard's.

        Raises:
            UserError: as for `whole`, and when there are fewer groups of questions than shards.
        """
        return as_asked(self.task, self.shard.of(self.whole) if self.shard else self.whole, self.ablation)

    @cached_property
    def whole(self) -> Dataset:
        """The samples, those of other shards included; the first to ask for them loads them, and downloads them where that is needed.

        Raises:
            UserError: when they cannot be had, are not as they should be, or have no pictures.
        """
        dataset = self.data or self.task.load(self.source)
        if not dataset.has_images:
            raise UserError(
                f"{self.task.name}: {dataset.source} has no pictures: it scores stored answers; "
                "run with another --data (`moe-eval list data`)"
            )
        return dataset.first(self.limit) if self.limit else dataset


def make_plans(
    model: str,
    tasks: Sequence[str],
    trained_on_mini: bool,
    *,
    data: str | None = None,
    protocol: str | None = None,
    **settings: Any,
) -> list[Plan]:
    """What a model is going to be asked, a plan per task.

    Args:
        model: its name.
        tasks: names; `all` stands for the nine that come with this project.
        trained_on_mini: see `default_source`.
        data: where samples come from; None: what the model's numbers are about.
        protocol: how questions are asked; None: `llava`, or a task's only protocol.
        settings: the others of a `Plan`.

    Raises:
        UserError: for names that do not exist.
    """
    names = [name for chosen in tasks for name in (own_tasks() if chosen == "all" else [chosen])]
    return [
        Plan(
            model,
            task,
            protocol or only_choice(task.protocols, USUAL_PROTOCOL),
            data or default_source(task, trained_on_mini),
            **settings,
        )
        for task in map(find_task, dict.fromkeys(names))
    ]


def with_data(plan: Plan, loaded: dict[tuple[str, str], Dataset]) -> Plan:
    """The plan with its samples at hand.

    Args:
        loaded: by task and source, what other plans are asked, too; what is not there yet is loaded and put there.

    Raises:
        UserError: as `Task.load`.
    """
    key = (plan.task.name, plan.source)
    if key not in loaded:
        loaded[key] = plan.task.load(plan.source)
    return replace(plan, data=loaded[key])


def default_source(task: Task, trained_on_mini: bool) -> str:
    """Where a task's samples come from when nothing is said: what the model's numbers are about.

    That is `mini` for a model that was trained on it (or never was); for every other model the papers' questions: LLaVA's folder below
    `MOE_EVAL_DATA`, if it is there, else the hub. A task without them has one source, which is taken.
    """
    if len(task.sources) == 1:
        return next(iter(task.sources))
    if trained_on_mini and "mini" in task.sources:
        return "mini"
    root = os.environ.get(DATA_VARIABLE)
    if root and "llava" in task.sources:
        folder = Path(root) / LLAVA_FOLDERS.get(task.name, task.name)
        if folder.is_dir():
            return f"llava:{folder}"
    return next(name for name in ("hub", "mini", *task.sources) if name in task.sources)


def run_folder(out: Path, model: str, task: str, variant: str | None = None) -> Path:
    """`out/<model>/<task>`, with both names made safe for a path; variants, such as ablated runs, lie beside, not among,
    the others.

    >>> run_folder(Path("results/runs"), "hf:llava-hf/llava-1.5-7b-hf", "pope").as_posix()
    'results/runs/hf--llava-hf--llava-1.5-7b-hf/pope'
    >>> run_folder(Path("results/runs"), "llava-1.5-7b", "pope", "image=grey").as_posix()
    'results/runs/llava-1.5-7b--image=grey/pope'
    """
    return out / path_part(f"{model}@{variant}" if variant else model) / path_part(task)


def path_part(name: str) -> str:
    """A name made safe for one part of a path.

    >>> path_part("openai:m@http://localhost:8000/v1")
    'openai--m--http--localhost--8000--v1'
    """
    return "--".join(part for part in name.replace(":", "/").replace("@", "/").split("/") if part.strip("."))
