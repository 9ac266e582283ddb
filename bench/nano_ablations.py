"""The paper's ablations in the small world: `make train RECIPE=nano-ablations`.

Every variant is `recipes/nano-ablations.yaml`, a shorter stage 3, with one thing changed, trained with several seeds from
the same stage 2 and asked all nine benchmarks' questions. What is finished is not done again.

Source: MoE-LLaVA (arXiv 2401.15947), section 4.4, whose tables vary the same things.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from pydantic import Field

from moe_eval.errors import UserError
from moe_eval.files.record import Record
from moe_eval.registry import own_tasks
from moe_eval.runs.records import RunRecord, write_record
from moe_eval.runs.stored_run import StoredRun

__all__ = ["VARIANTS", "AblationsRecord", "Variant", "ablation_record", "as_markdown"]

RECIPE = "nano-ablations"
CHECKPOINTS = Path("checkpoints/nano/ablations")
RESULTS = Path("results/ablations/nano")
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Variant:
    """One thing changed.

    Args:
        name: of its folders.
        what: is changed, in words.
        changes: to the recipe, as on the command line of `moellava.train`.
    """

    name: str
    what: str
    changes: tuple[str, ...] = ()


DEFAULT = Variant("default", "4 experts, top-2, every other layer, all but the tower tuned, after stage 2")
VARIANTS = (
    DEFAULT,
    Variant("top-1", "one expert per token instead of two", ("moe.top_k=1",)),
    Variant("1-expert", "one expert: dense layers, but for the router", ("moe.num_experts=1", "moe.top_k=1")),
    Variant("2-experts", "two experts, both of which a token sees", ("moe.num_experts=2",)),
    Variant("first-half", "sparse layers in the first half", ("moe.layers=first_half",)),
    Variant("second-half", "sparse layers in the second half", ("moe.layers=second_half",)),
    Variant("all-layers", "all layers sparse", ("moe.layers=all",)),
    Variant("ffn-only", "experts and routers tuned, all else frozen", ("trains=moe-as-paper",)),
    Variant(
        "no-stage-2",
        "sparse at once after stage 1",
        ("start_from=checkpoints/nano/moe-stage1", "skip_stage_2=true"),
    ),
)


class OverSeeds(Record):
    """A number over the seeds of training."""

    mean: float
    low: float | None = Field(
        description="of the 95 % interval: t with seeds - 1 degrees of freedom; null for one seed"
    )
    high: float | None
    values: list[float] = Field(description="in the order of the seeds")


class VariantRecord(Record):
    """One row of the table."""

    name: str
    what: str
    changes: list[str]
    total: int = Field(description="parameters")
    activated: int | None
    tasks: dict[str, OverSeeds] = Field(description="headline of each task; MME in per cent of its maximum")
    average: OverSeeds = Field(description="mean over the tasks, each weighing the same")
    against_default: OverSeeds | None = Field(
        description="difference of the averages, seed by seed; null for the default"
    )


class AblationsRecord(Record):
    """`results/ablations/nano/ablations.json`."""

    recipe: str
    seeds: list[int]
    variants: list[VariantRecord]


# --- training and asking ----------------------------------------------------------------------------------------


def _carry_out(variant: Variant, seed: int) -> None:
    """Train one model, unless it is there, and ask it everything; one thread each, so that two go on at a time."""
    model = CHECKPOINTS / f"{variant.name}-seed{seed}"
    _command("moellava.train", RECIPE, f"output={model}", f"train.seed={seed}", *variant.changes)
    _command("moe_eval", "run", str(model), "--name", model.name, "--data", "mini", "--out", str(RESULTS / "runs"))


def _command(module: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"{' '.join(arguments)}: {last}")


# --- the table --------------------------------------------------------------------------------------------------


def ablation_record(runs: Path, seeds: Sequence[int], variants: Sequence[Variant] = VARIANTS) -> AblationsRecord:
    """The table of finished runs, `runs/VARIANT-seedN/TASK`; differences are to the first variant.

    Raises:
        UserError: when a run is missing.
    """
    numbers = {variant: [_numbers(_folder(runs, variant, seed)) for seed in seeds] for variant in variants}
    averages = {variant: [fmean(of_seed.values()) for of_seed in numbers[variant]] for variant in variants}
    base = averages[variants[0]]
    records = []
    for variant in variants:
        counts = _run(_folder(runs, variant, seeds[0])).model.parameters
        assert counts is not None  # of models that are loaded here
        differences = [mine - other for mine, other in zip(averages[variant], base, strict=True)]
        records.append(
            VariantRecord(
                name=variant.name,
                what=variant.what,
                changes=list(variant.changes),
                total=counts.total,
                activated=counts.activated,
                tasks={task: _over_seeds([of_seed[task] for of_seed in numbers[variant]]) for task in own_tasks()},
                average=_over_seeds(averages[variant]),
                against_default=None if variant is variants[0] else _over_seeds(differences),
            )
        )
    return AblationsRecord(recipe=RECIPE, seeds=list(seeds), variants=records)


def _folder(runs: Path, variant: Variant, seed: int) -> Path:
    return runs / f"{variant.name}-seed{seed}"


def _run(folder: Path) -> RunRecord:
    return StoredRun.read(folder / own_tasks()[0]).run


def _numbers(folder: Path) -> dict[str, float]:
    found = {}
    for task in own_tasks():
        if not (folder / task).is_dir():
            raise UserError(f"{folder / task} is missing: make train RECIPE={RECIPE} makes it")
        scores = StoredRun.read(folder / task).scores
        value = scores.metrics["percent_of_maximum"]["perception"] if task == "mme" else scores.headline.value
        assert isinstance(value, float)  # all answers to mini are graded here
        found[task] = value
    return found


def _over_seeds(values: Sequence[float]) -> OverSeeds:
    """Mean and 95 % interval of independent trainings."""
    from scipy.special import stdtrit

    mean = fmean(values)
    if len(values) < 2:
        return OverSeeds(mean=mean, low=None, high=None, values=list(values))
    half = float(stdtrit(len(values) - 1, 0.975)) * stdev(values) / len(values) ** 0.5
    return OverSeeds(mean=mean, low=mean - half, high=mean + half, values=list(values))


def as_markdown(record: AblationsRecord) -> str:
    """A row per variant."""
    import pandas as pd

    rows = [
        {
            "variant": variant.what,
            "Total": f"{variant.total / 1e6:.2f}M",
            "Act.": "" if variant.activated is None else f"{variant.activated / 1e6:.2f}M",
            **{task: f"{number.mean:.1f}" for task, number in variant.tasks.items()},
            "average": _with_half(variant.average),
            "against default": _with_half(variant.against_default, sign="+") if variant.against_default else "",
        }
        for variant in record.variants
    ]
    frame = pd.DataFrame(rows)
    return frame.to_markdown(
        index=False, colalign=["left", *["right"] * (len(frame.columns) - 1)], disable_numparse=True
    )


def _with_half(number: OverSeeds, sign: str = "") -> str:
    half = "" if number.high is None else f" ±{number.high - number.mean:.1f}"
    return f"{number.mean:{sign}.1f}{half}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code, 2 after one line about what the user can put right."""
    parser = argparse.ArgumentParser(prog="python -m bench.nano_ablations", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, one thread each")
    parser.add_argument("--table-only", action="store_true", help="write the table of the runs that are there")
    options = parser.parse_args(arguments)
    try:
        if not options.table_only:
            with ThreadPoolExecutor(options.jobs) as pool:
                work = [(variant, seed) for seed in SEEDS for variant in VARIANTS]
                for (variant, seed), _ in zip(work, pool.map(lambda pair: _carry_out(*pair), work), strict=True):
                    print(f"{variant.name}, seed {seed}: done", flush=True)
        record = ablation_record(RESULTS / "runs", SEEDS)
        write_record(record, RESULTS / "ablations.json")
        print(as_markdown(record))
    except UserError as error:
        print(f"bench.nano_ablations: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
