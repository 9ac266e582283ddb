"""What recording the routing costs: `python -m bench.routing`.

The same questions are answered by the `generate` backend with and without `--routing`, in one process, taking turns, by
tiny models of five families, of which recording is the largest part there could be. On a CPU it is processor time that
counts, in one thread, because wall time says more about what else the machine does; on a GPU wall time. Printed is the
median of the turns' differences, and between what half of them lie. `--out` writes the figures as JSON.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from bench.generate import questions, save_phi_shaped
from moe_eval.engine.backend import Request
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from tests.tiny_architectures import ARCHITECTURES, write_tiny

FAMILIES = ("tiny", "qwen3_vl_moe", "qwen3_5_moe", "glm4v_moe", "gemma4")


def seconds(backend: GenerateBackend, requests: list[Request], clock: Callable[[], float]) -> float:
    start = clock()
    answered = sum(1 for _ in backend.generate(requests))
    assert answered == len(requests)
    return clock() - start


def compare(name: str, source: ModelSource, count: int, batch_size: int, new_tokens: int, repeat: int) -> dict:
    requests = questions(count, new_tokens)
    backends = {routing: GenerateBackend(source, batch_size, routing) for routing in (False, True)}
    clock = time.process_time if source.torch_device.type == "cpu" else time.perf_counter
    for backend in backends.values():
        seconds(backend, requests[:2], clock)
    times: dict[bool, list[float]] = {routing: [] for routing in backends}
    for turn in range(repeat):
        for routing in (False, True) if turn % 2 else (True, False):
            times[routing].append(seconds(backends[routing], requests, clock))
    without, recorded = (statistics.median(times[routing]) for routing in (False, True))
    low, overhead, high = statistics.quantiles(
        (b / a - 1 for a, b in zip(times[False], times[True], strict=True)), n=4, method="inclusive"
    )
    print(
        f"{name:12} without {without:7.3f} s   recorded {recorded:7.3f} s   {overhead:+.1%} ({low:+.1%} to {high:+.1%})",
        flush=True,
    )
    seconds_of = {side: [round(value, 4) for value in times[side == "recorded"]] for side in ("without", "recorded")}
    return {"model": name, "questions": count, "overhead": overhead, "quartiles": [low, high], **seconds_of}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--new-tokens", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=61)
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--models",
        default=",".join(FAMILIES),
        help="tiny and phi-shaped (MoE-LLaVA), tiny models of the tests, by architecture, or folders",
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:

        def model(name: str) -> str:
            if name == "phi-shaped":
                return str(save_phi_shaped(Path(folder, name)))
            if name == "tiny":
                return "moe-llava-tiny"
            return str(write_tiny(name, Path(folder, name))) if name in ARCHITECTURES else name

        results = [
            compare(
                name,
                ModelSource(model(name), device=options.device),
                options.questions,
                options.batch_size,
                options.new_tokens,
                options.repeat,
            )
            for name in options.models.split(",")
        ]
    if options.out:
        device = (
            torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
        )
        record = {"command": "python -m bench.routing", "device": device, "machine": platform.machine()}
        options.out.write_text(json.dumps(record | {"results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
