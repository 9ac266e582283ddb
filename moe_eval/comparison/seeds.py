"""One model on the same questions with the routing noise of several seeds: mean and spread of every number.

Runs with noise lie beside the model's other runs, one folder per seed, so that what belongs together is found again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

from pydantic import Field

from moe_eval.files.record import Record
from moe_eval.runs.plan import Plan
from moe_eval.runs.records import DataRecord, RunRecord, ScoresRecord, read_record, write_record
from moe_eval.scoring.headlines import headline_name
from moe_eval.task import Result

__all__ = ["SpreadRecord", "SpreadsRecord", "noisy_runs", "spread_line", "spreads_of", "write_spreads"]

SPREAD_FILE = "spread.json"


class SpreadRecord(Record):
    """One number over seeds."""

    mean: float
    deviation: float | None = Field(description="sample standard deviation; null for a single seed")
    low: float
    high: float
    values: list[float] = Field(description="in the order of the seeds")

    @classmethod
    def of(cls, values: list[float]) -> "SpreadRecord":
        deviation = stdev(values) if len(values) > 1 else None
        return cls(mean=fmean(values), deviation=deviation, low=min(values), high=max(values), values=values)


class SpreadsRecord(Record):
    """`spread.json`: every number of a task over the seeds of the routing noise."""

    model: str
    weights_fingerprint: str
    task: str
    protocol: str
    data: DataRecord
    headline: str
    seeds: list[int]
    numbers: dict[str, SpreadRecord] = Field(description="by `headline` or the dotted path inside metrics")
    without_noise: float | None = Field(description="the headline of the deterministic run beside, where there is one")


def noisy_runs(folder: Path, run: RunRecord) -> tuple[dict[int, ScoresRecord], ScoresRecord | None]:
    """Finished runs of the same model on the same questions, beside a run: with noise, by seed, and one without.

    Args:
        folder: `OUT/MODEL/TASK` of the run, which may be one of them.
    """
    noisy: dict[int, ScoresRecord] = {}
    plain = None
    for path in sorted(folder.parent.parent.glob(f"*/{folder.name}/scores.json")):
        other = read_record(RunRecord, path.parent / "run.json")
        if _setting(other) != _setting(run):
            continue
        scores = read_record(ScoresRecord, path)
        if scores.missing:
            continue
        if other.model.router_noise_seed is None:
            plain = scores
        else:
            noisy[other.model.router_noise_seed] = scores
    return dict(sorted(noisy.items())), plain


def _setting(run: RunRecord) -> tuple[object, ...]:
    """What runs have in common that differ in their noise only."""
    model = run.model
    return (
        *(model.name, model.weights_fingerprint, model.dtype, model.processing_fingerprint),
        *(run.task, run.protocol, run.data.fingerprint, run.generation),
    )


def spreads_of(run: RunRecord, noisy: Mapping[int, ScoresRecord], plain: ScoresRecord | None) -> SpreadsRecord:
    """All numbers that every one of the runs has.

    Args:
        run: one of them.
        noisy: by seed, at least one.
    """
    of_seeds = [_numbers(scores) for scores in noisy.values()]
    names = [name for name in of_seeds[0] if all(name in numbers for numbers in of_seeds)]
    return SpreadsRecord(
        model=run.model.name,
        weights_fingerprint=run.model.weights_fingerprint,
        task=run.task,
        protocol=run.protocol,
        data=run.data,
        headline=headline_name(next(iter(noisy.values()))),
        seeds=list(noisy),
        numbers={name: SpreadRecord.of([numbers[name] for numbers in of_seeds]) for name in names},
        without_noise=plain.headline.value if plain else None,
    )


def write_spreads(plans: Sequence[Plan]) -> list[tuple[Path, SpreadsRecord]]:
    """Of finished runs that differ in the seed of the routing noise only: a `spread.json` beside the run without noise.

    Args:
        plans: those without noise are passed over.
    """
    written: dict[Path, SpreadsRecord] = {}
    for plan in plans:
        if plan.router_noise_seed is None or not (plan.folder / "scores.json").is_file():
            continue
        run = read_record(RunRecord, plan.folder / "run.json")
        noisy, plain = noisy_runs(plan.folder, run)
        if len(noisy) > 1:
            written[replace(plan, router_noise_seed=None).folder / SPREAD_FILE] = spreads_of(run, noisy, plain)
    for path, spreads in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_record(spreads, path)
    return list(written.items())


def spread_line(spreads: SpreadsRecord) -> str:
    """The headline over seeds, in words."""
    found = spreads.numbers.get("headline")
    if found is None:
        return f"{spreads.headline} pending"
    deviation = "" if found.deviation is None else f" ± {found.deviation:.2f}"
    without = "" if spreads.without_noise is None else f"; without noise {spreads.without_noise:.2f}"
    return (
        f"{spreads.headline} {found.mean:.2f}{deviation} (mean and standard deviation over {len(spreads.seeds)} seeds of the "
        f"routing noise, from {found.low:.2f} to {found.high:.2f}{without})"
    )


def _numbers(scores: ScoresRecord) -> dict[str, float]:
    from moe_eval.statistics.resampling import numbers_of  # numpy, which `--help` can do without

    numbers = numbers_of(Result(scores.headline.value, scores.metrics))
    return {name: float(value) for name, value in numbers.items() if isinstance(value, int | float)}
