"""Training a stage: `python -m moellava.train recipes/phi2-stage2.yaml train.learning_rate=1e-5`.

The same command runs under `torchrun` and `accelerate launch`. A run that was cut off goes on where it was.
"""

import argparse
import os
import sys
from pathlib import Path

from moellava.training.errors import TrainingError
from moellava.training.recipe import load_recipe

__all__ = ["main"]

EXAMPLE = """\
example:
  python -m moellava.train recipes/phi2-stage2.yaml data.0.file=my.json data.0.images=pictures output=checkpoints/mine
  torchrun --nproc_per_node 8 -m moellava.train recipes/phi2-stage2.yaml"""


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code, 2 after one line about what the user can put right."""
    parser = argparse.ArgumentParser(
        prog="python -m moellava.train",
        description=__doc__.splitlines()[0],
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", type=Path, help="YAML file, see recipes/")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes to the recipe")
    parser.add_argument("--dry-run", action="store_true", help="print parameters, steps and memory, and stop")
    parser.add_argument("--fresh", action="store_true", help="start over, removing what the output folder holds")
    parser.add_argument("--debug", action="store_true", help="show a traceback when something goes wrong")
    options = parser.parse_intermixed_args(arguments)
    try:
        recipe = load_recipe(options.recipe, options.overrides)
        if recipe.stage == "tower":
            from moellava.training.tower import train_tower

            print(f"{train_tower(recipe, fresh=options.fresh)}: done")
            return 0
        if options.dry_run:
            from moellava.training.plan import training_plan

            print(training_plan(recipe))
            return 0
        from moellava.training.run import train_stage

        folder = train_stage(recipe, fresh=options.fresh)
    except TrainingError as error:
        if options.debug:
            raise
        print(f"moellava.train: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    if os.environ.get("RANK", "0") == "0":
        print(f"{folder}: done; evaluate it with moe-eval run {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
