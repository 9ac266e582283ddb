"""Training a stage: `python -m moellava.train phi2-stage2 train.learning_rate=1e-5`.

The same command runs under `torchrun` and `accelerate launch`. A run that was cut off goes on where it was.
"""

import argparse
import os
import sys

from moellava.training.errors import TrainingError
from moellava.training.recipe import find_recipe, load_recipe, recipe_names

__all__ = ["main"]

EXAMPLE = """\
examples:
  python -m moellava.train phi2-stage2 data.0.file=my.json data.0.images=pictures output=checkpoints/mine
  torchrun --nproc_per_node 8 -m moellava.train mine.yaml
  accelerate launch --config_file $(python -m moellava.train accelerate/fsdp2 --where) --num_processes 8 \\
    -m moellava.train phi2-stage2"""


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code, 2 after one line about what the user can put right."""
    parser = argparse.ArgumentParser(
        prog="python -m moellava.train",
        description=__doc__.splitlines()[0],
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", help=f"YAML file, or one of {', '.join(recipe_names())}")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes to the recipe")
    parser.add_argument("--dry-run", action="store_true", help="print parameters, steps and memory, and stop")
    parser.add_argument("--where", action="store_true", help="print where the recipe's file is, and stop")
    parser.add_argument("--fresh", action="store_true", help="start over, removing what the output folder holds")
    parser.add_argument("--debug", action="store_true", help="show a traceback when something goes wrong")
    options = parser.parse_intermixed_args(arguments)
    try:
        if options.where:
            print(find_recipe(options.recipe))
            return 0
        recipe = load_recipe(options.recipe, options.overrides)
        if recipe.stage == "tower":
            if options.dry_run:
                raise TrainingError("--dry-run is for stages of a whole model; a tower trains in minutes")
            from moellava.training.tower import train_tower

            print(f"{train_tower(recipe, fresh=options.fresh)}: done")
            return 0
        if options.dry_run:
            from moellava.training.plan import training_plan

            print(training_plan(recipe))
            return 0
        from moellava.training.run import train_stage

        folder = train_stage(recipe, fresh=options.fresh)
    except (TrainingError, OSError) as error:  # of the system, mostly a full or read-only disk
        if options.debug:
            raise
        print(f"moellava.train: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    if os.environ.get("RANK", "0") == "0":
        print(f"{folder}: done; evaluate it with moe-eval run {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
