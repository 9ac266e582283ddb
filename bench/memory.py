"""Memory of the prefix engine over many questions: `python -m bench.memory`.

The tiny oracle checkpoint answers `--questions` made-up questions, four about each drawn picture, in one call of the backend; the process's
resident memory is noted after every tenth of them. It grows by what the questions themselves take: they are all there from the start, and their
pictures are drawn when their turn comes. `--out` writes the figures as JSON.
"""

import argparse
import json
import platform
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from moe_eval.engine.backend import Request
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prefix.backend import PrefixBackend


@dataclass(frozen=True)
class Plain:
    """A picture of one colour."""

    number: int

    def open(self) -> Image.Image:
        return Image.new("RGB", (336, 336), (self.number % 251, self.number % 241, self.number % 239))


def resident_mb() -> float:
    """Memory of this process that is in RAM, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def measure(questions: int, engine_questions_per_picture: int = 4) -> dict:
    """Resident memory after every tenth of the questions."""
    requests = [
        Request(str(number), (Plain(number // engine_questions_per_picture),), f"Is there a thing {number}?", 3)
        for number in range(questions)
    ]
    backend = PrefixBackend(ModelSource("moe-llava-tiny", device="cpu"))
    list(backend.generate(requests[:40]))  # loads the model
    start, noted = time.perf_counter(), [round(resident_mb(), 1)]
    for answered, _ in enumerate(backend.generate(requests), 1):
        if answered % (questions // 10) == 0:
            noted.append(round(resident_mb(), 1))
            print(f"{answered:7,} questions {noted[-1]:8.1f} MB {time.perf_counter() - start:7.1f} s", flush=True)
    return {"questions": questions, "resident_mb": noted, "growth_over_second_half_mb": round(noted[-1] - noted[5], 1)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--out", type=Path, help="JSON to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {"command": "python -m bench.memory", "machine": platform.machine(), **measure(options.questions)}
    print(found)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
