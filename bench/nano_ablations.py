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
from statistics import fmean

import numpy as np
from pydantic import Field

from moe_eval.errors import UserError
from moe_eval.files.record import Record
from moe_eval.registry import find_task, own_tasks
from moe_eval.runs.records import RunRecord, write_record
from moe_eval.runs.stored_run import StoredRun

__all__ = [
    "VARIANTS",
    "AblationsRecord",
    "Difference",
    "Variant",
    "ablation_record",
    "as_markdown",
    "differences_to_first",
]

RECIPE = "nano-ablations"
CHECKPOINTS = Path("checkpoints/nano/ablations")
RESULTS = Path("results/ablations/nano")
SEEDS = (1, 2, 3)
AVERAGE = "average"


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
    Variant("ffn-only", "feed-forward parts, experts, routers and projector tuned", ("trains=moe-as-scripted",)),
    Variant("moe-only", "experts and routers tuned, all else frozen", ("trains=moe-as-paper",)),
    Variant(
        "no-stage-2",
        "sparse at once after stage 1",
        ("start_from=checkpoints/nano/moe-stage1", "skip_stage_2=true"),
    ),
)


class OverSeeds(Record):
    """A number over the seeds of training."""

    mean: float
    values: list[float] = Field(description="in the order of the seeds")


class Difference(Record):
    """To the default, of the means over the seeds."""

    value: float
    low: float | None = Field(
        description="of the interval that holds for all variants at once with 95 %; null without spread, as with one seed"
    )
    high: float | None


class VariantRecord(Record):
    """One row of the table."""

    name: str
    what: str
    changes: list[str]
    total: int = Field(description="parameters of the language model, as the paper counts")
    activated: int
    scores: dict[str, OverSeeds] = Field(
        description="headline of each task, MME in per cent of its maximum; `average`: of them all, each weighing the same"
    )
    against_default: dict[str, Difference] = Field(description="of the same; empty for the default")


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
    scores = [
        _by_score([_numbers(_folder(runs, variant, seed)) for seed in seeds]) for variant in variants
    ]  # of each variant
    differences = {name: differences_to_first([of_variant[name] for of_variant in scores]) for name in scores[0]}
    records = []
    for number, variant in enumerate(variants):
        counts = _run(_folder(runs, variant, seeds[0])).model.parameters
        assert counts is not None  # of models that are loaded here
        records.append(
            VariantRecord(
                name=variant.name,
                what=variant.what,
                changes=list(variant.changes),
                total=counts.llm_total,
                activated=counts.llm_activated,
                scores={name: OverSeeds(mean=fmean(values), values=values) for name, values in scores[number].items()},
                against_default={name: found[number - 1] for name, found in differences.items()} if number else {},
            )
        )
    return AblationsRecord(recipe=RECIPE, seeds=list(seeds), variants=records)


def _by_score(of_seeds: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    """Values over the seeds of every task, and of the average over the tasks."""
    scores = {task: [of_seed[task] for of_seed in of_seeds] for task in of_seeds[0]}
    return {**scores, AVERAGE: [fmean(of_seed.values()) for of_seed in of_seeds]}


def differences_to_first(samples: Sequence[Sequence[float]]) -> list[Difference]:
    """Of each other variant's mean to the first's, with intervals that hold together.

    A seed draws the order of the data for all variants alike, so what it does to all of them is taken out: two-way analysis of
    variance without interaction, with Bonferroni's correction. Two variants are a paired t-test.

    Args:
        samples: [variants][seeds].
    """
    from scipy.special import stdtrit

    values = np.array(samples)
    variants, seeds = values.shape
    differences = values.mean(axis=1)[1:] - values[0].mean()
    residuals = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    degrees = (variants - 1) * (seeds - 1)
    if not degrees or np.allclose(residuals, 0):
        return [Difference(value=float(value), low=None, high=None) for value in differences]
    error = np.sqrt((residuals**2).sum() / degrees * 2 / seeds)
    half = float(stdtrit(degrees, 1 - 0.025 / (variants - 1)) * error)
    return [Difference(value=float(value), low=float(value) - half, high=float(value) + half) for value in differences]


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


def as_markdown(record: AblationsRecord) -> str:
    """A row per variant: means over the seeds, `*` where one differs from the default's."""
    import pandas as pd

    titles = {task: find_task(task).title for task in own_tasks()}
    titles = {task: f"{title} (%)" if task == "mme" else title for task, title in titles.items()}
    rows = [
        {
            "variant": variant.what,
            "Total": f"{variant.total / 1e6:.2f}M",
            "Act.": f"{variant.activated / 1e6:.2f}M",
            AVERAGE: _cell(variant, AVERAGE),
            "against the default": _with_interval(variant.against_default.get(AVERAGE)),
            **{titles[task]: _cell(variant, task) for task in titles},
        }
        for variant in record.variants
    ]
    frame = pd.DataFrame(rows)
    return frame.to_markdown(
        index=False, colalign=["left", *["right"] * (len(frame.columns) - 1)], disable_numparse=True
    )


def _cell(variant: VariantRecord, name: str) -> str:
    difference = variant.against_default.get(name)
    return f"{variant.scores[name].mean:.1f}{'*' if difference and _is_told_apart(difference) else ''}"


def _is_told_apart(difference: Difference) -> bool:
    return difference.low is not None and difference.high is not None and not difference.low <= 0 <= difference.high


def _with_interval(difference: Difference | None) -> str:
    if difference is None:
        return ""
    interval = "" if difference.low is None else f" [{difference.low:+.1f}, {difference.high:+.1f}]"
    return f"{difference.value:+.1f}{interval}"


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
