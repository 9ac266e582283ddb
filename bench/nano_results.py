"""Everything in the repository that follows from the nano models' weights, made again: `python -m bench.nano_results`.

After `make train RECIPE=nano`, in this order (`--only` takes some of them):

- weights: from `checkpoints/nano/` to `moellava/nano/`, the stages' logs to `results/training/nano/`;
- baselines: all nine tasks of both, for the gate;
- noise: five seeds of the original's routing noise;
- experts: what each is worth;
- probe: how much of each score is seeing;
- decoding: with grey pictures, by likelihood, and five drawn answers each; its numbers stand in README and docs/decoding.md.

What documents quote is printed; pictures are `python -m bench.pictures`.
"""

import argparse
import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["PARTS", "compress", "install_weights"]

TRAINED = {"moe-llava-nano": "moe", "llava-nano": "dense"}
STAGES = ("language", "stage1", "stage2", "stage3")
NOT_KEPT = ("recipe.json", ".*")  # the recipe stands in training.json, too
CHECKPOINTS = Path("checkpoints/nano")
MODELS = Path("moellava/nano")
RUNS = Path("results/runs")
SPARSE = "moe-llava-nano"


def install_weights(checkpoints: Path, models: Path, logs: Path) -> None:
    """Copy both finished models, and the training logs of all their stages.

    Raises:
        FileNotFoundError: a stage that is not finished.
    """
    for model, chain in TRAINED.items():
        for stage in STAGES:
            folder = checkpoints / f"{chain}-{stage}"
            if not (folder / "training.json").is_file():
                raise FileNotFoundError(f"{folder} is not finished: make train RECIPE=nano")
            shutil.copy(folder / "training_log.jsonl", logs / f"{chain}-{stage}.jsonl")
        shutil.rmtree(models / model, ignore_errors=True)
        finished = checkpoints / f"{chain}-stage3"
        shutil.copytree(
            finished, models / model, ignore=shutil.ignore_patterns(*NOT_KEPT, "checkpoint-*", "tensorboard")
        )
    shutil.copy(checkpoints / "tower" / "training_log.jsonl", logs / "tower.jsonl")


def compress(path: Path) -> None:
    """gzip, to the same bytes from the same bytes: neither name nor time."""
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    path.unlink()


def _weights() -> None:
    install_weights(CHECKPOINTS, MODELS, Path("results/training/nano"))


def _baselines() -> None:
    for model in TRAINED:
        shutil.rmtree(RUNS / model, ignore_errors=True)
        _evaluate("run", model, "--routing" if model == SPARSE else "--no-routing")
        baseline = Path("results/baselines") / model
        shutil.rmtree(baseline, ignore_errors=True)
        shutil.copytree(RUNS / model, baseline, ignore=shutil.ignore_patterns("routing*", "*.tmp"))
        for path in [*baseline.glob("*/scores.json"), *baseline.glob("*/responses.jsonl")]:
            compress(path)
    _evaluate("compare", str(RUNS / "llava-nano"), str(RUNS / SPARSE))


def _noise() -> None:
    for folder in RUNS.glob(f"{SPARSE}--noise-seed*"):
        shutil.rmtree(folder)
    _evaluate("run", SPARSE, "--router-noise", "--seeds", "5")
    for spread in RUNS.glob(f"{SPARSE}/*/spread.json"):
        shutil.copy(spread, Path("results/router_noise") / SPARSE / f"{spread.parent.name}.json")


def _experts() -> None:
    for folder in Path("results/experts").glob(f"{SPARSE}*/"):
        shutil.rmtree(folder)
    _evaluate("experts", SPARSE, "--tasks", "all")


def _probe() -> None:
    for folder in [*RUNS.glob(f"{SPARSE}--image=*"), *RUNS.glob(f"{SPARSE}--options=*")]:
        shutil.rmtree(folder)
    _evaluate("probe", SPARSE, "--out", f"results/probe/{SPARSE}.md")


def _decoding() -> None:
    _evaluate("run", SPARSE, "--tasks", "pope,mme,vqav2,gqa", "--ablate", "image=grey", "--fresh")
    _evaluate("run", SPARSE, "--tasks", "pope,mme,mmbench,scienceqa", "--protocol", "likelihood", "--fresh")
    _evaluate("run", SPARSE, "--tasks", "pope,mme", "--temperature", "1", "--samples", "5", "--fresh")
    _evaluate("table", str(RUNS))


def _evaluate(*arguments: str) -> None:
    """A command of moe-eval, as a user types it."""
    print(f"$ moe-eval {' '.join(arguments)}", flush=True)
    subprocess.run(
        [sys.executable, "-m", "moe_eval", *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True
    )


PARTS = {
    "weights": _weights,
    "baselines": _baselines,
    "noise": _noise,
    "experts": _experts,
    "probe": _probe,
    "decoding": _decoding,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.nano_results", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    for part in parser.parse_args(arguments).only:
        try:
            PARTS[part]()
        except FileNotFoundError as error:
            print(f"bench.nano_results: {error}", file=sys.stderr)
            return 2
        except subprocess.CalledProcessError as error:
            return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
