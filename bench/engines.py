"""vLLM, the prefix engine and `generate` beside each other: `python -m bench.engines`, in an environment with vLLM (`.ci/vllm`).

The Phi-shaped model of `bench.generate` (random weights, 576 picture tokens) answers POPE's official questions about made-up
pictures, three new tokens each, in float32 on a CPU. All sides run in one command, taking turns, and see new pictures in every turn, so
that no cache helps from one turn to the next. Wall time, because vLLM computes in a process of its own, with threads that it binds itself: other work on the
machine is in it, so ratios are of each turn. `--out` writes the figures as JSON.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from bench.engine import questions, seconds
from bench.generate import save_phi_shaped
from moe_eval.engine.backend import Backend, Request
from moe_eval.engine.choose import choose_backend
from moe_eval.engine.named import find_source
from moe_eval.mini.world import make_scenes

SIDES = ("generate", "prefix", "vllm")


def with_pictures(requests: Sequence[Request], turn: int) -> list[Request]:
    """The same questions about the pictures of another turn."""
    old = list(dict.fromkeys(request.images for request in requests))
    new = dict(zip(old, make_scenes(len(old), turn, "test"), strict=True))
    return [replace(request, images=(new[request.images],)) for request in requests]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.engines", description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=2)
    parser.add_argument("--questions", type=int, default=18, help="about each picture")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of generate and prefix")
    parser.add_argument("--out", type=Path, help="JSON to write")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    asked = questions(options.pictures, options.questions)
    taken: dict[str, list[float]] = {name: [] for name in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        model = str(save_phi_shaped(Path(folder)))
        sides: dict[str, Backend] = {
            name: choose_backend(find_source(model, engine=name, dtype="float32", device="cpu"), name)[0]
            for name in SIDES
        }
        for backend in sides.values():
            seconds(backend, asked[:2], time.perf_counter)  # loads the model
        for turn in range(1, options.turns + 1):
            requests = with_pictures(asked, turn)
            for name, backend in sides.items():
                taken[name].append(seconds(backend, requests, time.perf_counter))
                print(turn, name, round(taken[name][-1], 2), flush=True)
    found = {
        "command": "python -m bench.engines",
        "machine": platform.machine(),
        "threads": options.threads,
        "questions": len(asked),
        "pictures": options.pictures,
        "wall_seconds": {name: [round(value, 2) for value in values] for name, values in taken.items()},
    }
    for name in ("prefix", "vllm"):
        ratios = sorted(slow / fast for slow, fast in zip(taken["generate"], taken[name], strict=True))
        found[f"{name}, times faster than generate"] = {
            "median": round(statistics.median(ratios), 2),
            "least": round(ratios[0], 2),
            "most": round(ratios[-1], 2),
        }
    print(json.dumps(found, indent=1))
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
