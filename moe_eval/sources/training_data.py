"""Training data from a task: `python -m moe_eval.sources.training_data easyvqa package:train data/easyvqa`.

Writes `train.json` and `images/` in LLaVA's format: one item per picture, its questions as rounds, each worded as the
task asks it at evaluation and answered with its gold. What published numbers are about is not for training.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moe_eval.errors import UserError
from moe_eval.files.atomic import write_atomically
from moe_eval.images import ImageRef
from moe_eval.registry import find_task, load_task_file, only_choice
from moe_eval.task import Dataset, Sample, TaskProtocol

__all__ = ["write_training_data"]

ITEMS = "train.json"
DONE = "data.json"


def write_training_data(dataset: Dataset, protocol: TaskProtocol, folder: Path) -> bool:
    """Write the data set's questions as training data; False if the folder holds the same already.

    Args:
        dataset: samples with pictures, whose gold is the text to answer.
        protocol: how the task asks.
        folder: gets `train.json` and `images/`; what another data set left there is removed.

    Raises:
        UserError: data that tables compare with published numbers, a gold that is no text, an unreadable picture.
    """
    if dataset.official:
        raise UserError(f"{dataset.source}: {dataset.version} are what published numbers are about: not for training")
    facts = {"source": dataset.source, "fingerprint": dataset.fingerprint}
    done, images = folder / DONE, folder / "images"
    if done.is_file() and json.loads(done.read_text()) == facts:
        return False
    done.unlink(missing_ok=True)
    shutil.rmtree(images, ignore_errors=True)
    images.mkdir(parents=True)
    asked: dict[tuple[ImageRef, ...], list[Sample]] = {}
    for sample in dataset.samples:
        asked.setdefault(sample.images, []).append(sample)
    items = []
    for number, (pictures, samples) in enumerate(asked.items()):
        names = [f"{number:06d}_{place}.png" for place in range(len(pictures))]
        for name, picture in zip(names, pictures, strict=True):
            picture.open().save(images / name)
        items.append(_item(names, samples, protocol))
    write_atomically(folder / ITEMS, "[\n" + ",\n".join(map(json.dumps, items)) + "\n]\n")
    write_atomically(done, json.dumps(facts) + "\n")
    return True


def _item(names: Sequence[str], samples: Sequence[Sample], protocol: TaskProtocol) -> dict[str, Any]:
    turns = []
    for number, sample in enumerate(samples):
        if not isinstance(sample.gold, str) or not names:
            raise UserError(f"sample {sample.id}: training data need a picture and a gold answer that is text")
        front = "<image>\n" * len(names) if number == 0 else ""  # later rounds get theirs from `split_rounds: true`
        turns.append({"from": "human", "value": front + protocol.prompt(sample)})
        turns.append({"from": "gpt", "value": sample.gold})
    return {"id": samples[0].group, "image": names[0] if len(names) == 1 else list(names), "conversations": turns}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code, 2 after one line about what the user can put right."""
    parser = argparse.ArgumentParser(
        prog="python -m moe_eval.sources.training_data", description=__doc__.splitlines()[0]
    )
    parser.add_argument("task", help="name, or FILE.py that defines one")
    parser.add_argument("source", help="its training split, such as package:train")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    try:
        task = load_task_file(Path(options.task)) if options.task.endswith(".py") else find_task(options.task)
        dataset = task.load(options.source)
        written = write_training_data(dataset, task.protocol(only_choice(task.protocols, "llava")), options.folder)
    except UserError as error:
        print(f"moe_eval.sources.training_data: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(f"{options.folder}: {dataset.version}" + ("" if written else ", there already"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
