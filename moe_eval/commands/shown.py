"""What `moe-eval run` tells while it runs, and at the end."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from moe_eval.errors import UserError
from moe_eval.runs.answering import Answered
from moe_eval.runs.plan import Plan
from moe_eval.runs.records import ScoresRecord
from moe_eval.runs.routing import summarise_routing
from moe_eval.scoring.summary import headline_line, summarise

__all__ = ["Shown"]


@dataclass
class Shown:
    """What is told while runs are made, and what has come of them so far.

    Args:
        quiet: a line per run, no progress.
        verbose: every number of every run.
        as_json: a JSON list at the end, and nothing else.
    """

    quiet: bool = False
    verbose: bool = False
    as_json: bool = False
    several: bool = False
    done: list[dict[str, Any]] = field(default_factory=list)
    failures: list[tuple[Plan, UserError]] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Something to know while waiting."""
        if not self.quiet:
            print(text, flush=True)

    def scored(self, plan: Plan, scores: ScoresRecord, decision: str | None = None) -> None:
        """A run is finished; with `--until decided:RUN`, how it compares with the other."""
        interval = scores.intervals.get("headline")
        self.done.append(
            {
                "model": plan.title,
                "task": plan.task.name,
                "protocol": scores.protocol,
                "metric": scores.headline.name,
                "value": scores.headline.value,
                "interval": [interval.low, interval.high] if interval else None,
                "questions": scores.data.samples,
                "missing": len(scores.missing),
                "data": scores.data.source,
                "official": scores.data.official,
                "folder": str(plan.folder),
                **({"decision": decision} if decision else {}),
            }
        )
        if self.as_json:
            return
        if self.verbose or not (self.quiet or self.several):
            routing = f"\n\n{summarise_routing(plan.folder)}" if plan.routing else ""
            print(f"\n{plan.title}\n{summarise(scores)}{routing}\n\nwritten to {plan.folder}\n", flush=True)
        else:
            print(f"{plan.title} {headline_line(scores)} → {plan.folder}", flush=True)
        if decision:
            print(f"{plan.title} {plan.task.name} is {decision}", flush=True)

    def shared(self, plan: Plan, answered: Answered) -> None:
        """A shard is finished."""
        told = {"model": plan.title, "task": plan.task.name, "shard": str(plan.shard)}
        self.done.append(
            {**told, "questions": len(answered.answers), "missing": len(answered.missing), "folder": str(plan.folder)}
        )
        if not self.as_json:
            print(
                f"{plan.title} {plan.task.name}: shard {plan.shard}, {len(answered.answers):,} of "
                f"{len(plan.whole.samples):,} questions → {plan.folder}",
                flush=True,
            )

    @contextmanager
    def progress(self, plan: Plan) -> Iterator[Callable[[int, int], None]]:
        """The bar of one run."""
        with self.bar(plan.asked, f"{plan.title} {plan.task.name}") as on_answer:
            yield on_answer

    @contextmanager
    def bar(self, total: int, title: str) -> Iterator[Callable[[int, int], None]]:
        """A bar with the time that is left, drawn seldom where the output is a file."""
        terminal = sys.stderr.isatty()
        with tqdm(
            total=total,
            desc=title,
            unit="q",
            disable=self.quiet,
            leave=not (self.several and terminal),
            mininterval=0.1 if terminal else 30,
        ) as bar:
            yield lambda answered, total: bar.update(answered - bar.n) and None

    @contextmanager
    def kept_going(self, plan: Plan) -> Iterator[None]:
        """Inside, what goes wrong with one of several runs is told and noted; with a single one it is raised."""
        try:
            yield
        except UserError as error:
            if not self.several:
                raise
            self.failures.append((plan, error))
            self.say(f"{plan.title} {plan.task.name}: failed: {error}")

    def end(self) -> int:
        """Say what failed; the exit code comes back."""
        failed = [
            {"model": plan.title, "task": plan.task.name, "error": " ".join(str(error).split())}
            for plan, error in self.failures
        ]
        if self.as_json:
            print(json.dumps([*self.done, *failed], indent=1))
        else:
            for one in failed:
                print(f"failed: {one['model']}, {one['task']}: {one['error']}")
        return 2 if failed else 0
