"""The prefix engine beside `generate`: `python -m bench.engine`.

The Phi-shaped model of `bench.generate` (random weights, 576 picture tokens) answers POPE's official questions about made-up
pictures, three new tokens each: 18 about each picture, then 32, as many as GQA asks about its busiest ones (POPE's, asked again in
other words), then one. Both sides run in one process, taking turns; ratios are of each turn. Then a pass over prefixes is held
against the machine's matrix products (`bench.floor`). `--out` writes the figures as JSON.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench.floor import prefill_floor
from bench.generate import save_phi_shaped
from moe_eval.engine.backend import Backend, Request
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prefix.backend import PrefixBackend
from moe_eval.mini.world import Scene, make_scenes
from moe_eval.registry import find_task

NEW_TOKENS = 3


def questions(pictures: int, per_picture: int) -> list[Request]:
    """POPE's questions, in its own order: category by category, so that those about a picture lie far apart."""
    task = find_task("pope")
    prompt = task.protocol("llava").prompt
    of_picture: dict[str, list[Any]] = {}
    for sample in task.load("official").samples:
        of_picture.setdefault(sample.group, []).append(sample)
    names = list(of_picture)[:pictures]
    scenes: dict[str, Scene] = dict(zip(names, make_scenes(pictures, 0, "test"), strict=True))
    rounds = []
    for number in range(per_picture):
        for name in names:
            samples = of_picture[name]
            sample, again = samples[number % len(samples)], number // len(samples)
            text = prompt(sample).replace("in the image", "in this picture") if again else prompt(sample)
            rounds.append(Request(f"{sample.id}.{again}", (scenes[name],), text, NEW_TOKENS))
    return rounds


def seconds(backend: Backend, requests: list[Request], clock: Callable[[], float]) -> float:
    start = clock()
    answered = sum(1 for _ in backend.generate(requests))
    assert answered == len(requests)
    return clock() - start


def compare(
    source: ModelSource, requests: list[Request], batch_sizes: list[int], repeats: int, clock: Callable[[], float]
) -> dict:
    """Seconds of each side, turn by turn, and how many times faster the prefix engine is."""
    sides: dict[str, Backend] = {f"generate {size}": GenerateBackend(source, size) for size in batch_sizes}
    sides["prefix"] = PrefixBackend(source)
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for backend in sides.values():
        seconds(backend, requests[:2], clock)  # loads the model
    for _ in range(repeats):
        for name, backend in sides.items():
            taken[name].append(seconds(backend, requests, clock))
    found: dict[str, Any] = {"questions": len(requests), "seconds": taken}
    for name in list(sides)[:-1]:
        ratios = sorted(other / ours for other, ours in zip(taken[name], taken["prefix"], strict=True))
        found[f"times faster than {name}"] = {
            "median": round(statistics.median(ratios), 2),
            "least": round(ratios[0], 2),
            "most": round(ratios[-1], 2),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, help="default: 1, and 16 where one question is asked about each")
    parser.add_argument("--questions", type=int, nargs="+", default=[18, 32, 1], help="about each picture")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--wall", action="store_true", help="wall time; otherwise processor time, per thread")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="JSON to write")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    wall = options.wall or options.device != "cpu"
    clock = time.perf_counter if wall else time.process_time
    found: dict[str, Any] = {
        "command": "python -m bench.engine",
        "device": options.device,
        "threads": options.threads,
        "clock": "wall" if wall else "processor",
        "machine": platform.machine(),
        "new_tokens": NEW_TOKENS,
    }
    with tempfile.TemporaryDirectory() as folder:
        source = ModelSource(str(save_phi_shaped(Path(folder))), device=options.device)
        for per_picture in options.questions:
            pictures = options.pictures or max(1, 16 // per_picture)
            requests = questions(pictures, per_picture)
            found[f"{per_picture} per picture"] = compare(source, requests, options.batch_sizes, options.repeats, clock)
            _write(found, options.out)
            print(
                per_picture,
                {k: v for k, v in found[f"{per_picture} per picture"].items() if k != "seconds"},
                flush=True,
            )
        found["prefill"] = prefill_floor(source, questions(8, 1), options.repeats, clock)
        print(found["prefill"])
        _write(found, options.out)


def _write(found: dict, out: Path | None) -> None:
    if out:
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
