"""All that a run folder says, and what can be computed from it: what the causes are judged by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moe_eval.comparison.seeds import noisy_runs
from moe_eval.errors import UserError
from moe_eval.explain.effects import KnownEffect
from moe_eval.registry import find_task
from moe_eval.runs.journal import answer_lines
from moe_eval.runs.recorded import RecordedNumber, read_recorded
from moe_eval.runs.records import RunRecord, ScoresRecord, prompt_fingerprint, read_record
from moe_eval.scoring.rescore import Rescored, rescore
from moe_eval.table.claims import Claim, Verdict, claims_about, judge_claim
from moe_eval.table.published import PublishedNumber
from moe_eval.task import Task

__all__ = ["Evidence", "gather"]


@dataclass(frozen=True)
class Evidence:
    """What is known of a run.

    Args:
        task: as it is now; the papers' way of asking and scoring is its protocol `llava`.
        against: the published model whose numbers it is held against; None where there is none.
        judged: claims about that model on this task, with their verdicts.
        rescored: the same answers under every scorer.
        asked_as: protocols whose prompts are exactly those of the run; None where that cannot be told.
        cut: how many answers ended because they were too long; None where the answers do not say.
        effects: what others found on this task.
        noise: the headline by seed of the routing noise, of runs beside this one that differ in that only.
    """

    run: RunRecord
    scores: ScoresRecord
    recorded: RecordedNumber | None
    task: Task
    against: str | None
    judged: tuple[tuple[Claim, Verdict], ...]
    rescored: Rescored
    asked_as: tuple[str, ...] | None
    cut: int | None
    effects: tuple[KnownEffect, ...]
    noise: Mapping[int, float] = field(default_factory=dict)

    @property
    def value(self) -> float | None:
        """The headline number, computed here or recorded from a server."""
        own = self.scores.headline.value
        return own if own is not None or self.recorded is None else self.recorded.value

    @property
    def generated(self) -> bool:
        """Whether the questions are ours, so that nobody can have published anything about them."""
        return self.run.data.source.partition(":")[0] == "mini"

    @property
    def retrained(self) -> bool:
        """Whether it is held against a model that it is not: one of the user's own training."""
        return self.against is not None and self.against != self.run.model.published_as

    def known(self, cause: str) -> tuple[KnownEffect, ...]:
        """What others found of a cause that is at work in this run."""
        return tuple(effect for effect in self.effects if effect.cause == cause and effect.when.holds(self.run))


def gather(
    folder: Path, numbers: Sequence[PublishedNumber], effects: Sequence[KnownEffect], against: str | None = None
) -> Evidence:
    """Read a run folder and compute what can be computed from it.

    Args:
        against: hold the run against this published model instead of the one that it names.

    Raises:
        UserError: when the folder's files cannot be read.
    """
    run = read_record(RunRecord, folder / "run.json")
    scores = read_record(ScoresRecord, folder / "scores.json")
    recorded, task = read_recorded(folder), find_task(run.task)
    model = against or run.model.published_as
    rescored = rescore(folder, intervals=False)
    return Evidence(
        run=run,
        scores=scores,
        recorded=recorded,
        task=task,
        against=model,
        judged=tuple(
            (claim, judge_claim(claim, run, scores, recorded)) for claim in claims_about(model, numbers, run.task)
        ),
        rescored=rescored,
        asked_as=_asked_as(run, task, rescored),
        cut=_cut(folder),
        effects=tuple(effect for effect in effects if effect.task == run.task),
        noise={
            seed: noisy.headline.value
            for seed, noisy in noisy_runs(folder, run)[0].items()
            if noisy.headline.value is not None
        },
    )


def _asked_as(run: RunRecord, task: Task, rescored: Rescored) -> tuple[str, ...] | None:
    """Protocols that ask exactly so: our own runs by what they record, imported answers by the prompts in them."""
    if run.prompt is None:
        return None
    if rescored.dataset is None:
        return (run.protocol,) if run.origin is None else None
    samples = [sample for sample in rescored.dataset.samples if run.origin is None or sample.id in rescored.answers]
    found = []
    for name, protocol in task.protocols.items():
        try:
            prompts = [protocol.prompt(sample) for sample in samples]
        except UserError:  # these data do not hold what the protocol asks with, such as OCR tokens
            continue
        # LLaVA's ScienceQA script stores the line of the picture with the prompt
        pictured = ["<image>\n" * bool(sample.images) + prompt for sample, prompt in zip(samples, prompts, strict=True)]
        if run.prompt.fingerprint in (prompt_fingerprint(prompts), prompt_fingerprint(pictured)):
            found.append(name)
    return tuple(found)


def _cut(folder: Path) -> int | None:
    path = folder / "responses.jsonl"
    reasons = [answer.get("finish_reason") for _, answer in answer_lines(path)] if path.is_file() else []
    return None if not reasons or None in reasons else reasons.count("length")
