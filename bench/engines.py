"""vLLM, the prefix engine and `generate` beside each other: `python -m bench.engines`, in an environment with vLLM (`.ci/vllm`).

A model of `bench.generate` with random weights and 576 picture tokens, the sparse Phi-shaped one or the dense Llama-shaped one
(`--shape llama`), answers POPE's official questions about made-up pictures, three new tokens each, in float32 on a CPU. With `--optimum`
OpenVINO GenAI answers for the dense one, too (`bench.openvino`). All sides run in one command, taking turns, and see new pictures in every turn, so
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
from importlib.util import find_spec
from pathlib import Path

import torch

from bench.engine import questions, seconds
from bench.generate import save_llama_shaped, save_llama_shaped_as_llava, save_phi_shaped
from bench.openvino import OpenVino, export
from moe_eval.engine.backend import Backend, Request
from moe_eval.engine.choose import choose_backend
from moe_eval.engine.named import find_source
from moe_eval.mini.world import make_scenes

SIDES = ("generate", "prefix", "vllm")
SHAPES = {"phi": save_phi_shaped, "llama": save_llama_shaped}


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
    parser.add_argument("--shape", choices=SHAPES, default="phi", help="phi: sparse; llama: dense")
    parser.add_argument(
        "--optimum",
        type=Path,
        help="an optimum-cli with optimum-intel, which exports the dense model for OpenVINO GenAI",
    )
    parser.add_argument("--out", type=Path, help="JSON to write")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    asked = questions(options.pictures, options.questions)
    with tempfile.TemporaryDirectory() as folder:
        model = SHAPES[options.shape](Path(folder) / "model")
        sides: dict[str, Backend | OpenVino] = {
            name: choose_backend(find_source(str(model), engine=name, dtype="float32", device="cpu"), name)[0]
            for name in SIDES
        }
        if find_spec("openvino_genai") is None or not options.optimum or options.shape != "llama":
            print("openvino: skipped; it takes --shape llama, --optimum, and openvino-genai in this environment")
        else:
            llava = save_llama_shaped_as_llava(Path(folder) / "llava")
            sides["openvino"] = OpenVino(export(llava, options.optimum, Path(folder) / "openvino"), options.threads)
        for backend in sides.values():
            seconds(backend, asked[:2], time.perf_counter)  # loads the model
        taken: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(1, options.turns + 1):
            requests = with_pictures(asked, turn)
            for name, backend in sides.items():
                taken[name].append(seconds(backend, requests, time.perf_counter))
                print(turn, name, round(taken[name][-1], 2), flush=True)
    found = {
        "command": "python -m bench.engines",
        "shape": options.shape,
        "machine": platform.machine(),
        "threads": options.threads,
        "questions": len(asked),
        "pictures": options.pictures,
        "wall_seconds": {name: [round(value, 2) for value in values] for name, values in taken.items()},
    }
    pairs = [("generate", name) for name in taken if name != "generate"]
    pairs += [(name, "prefix") for name in taken if name not in ("generate", "prefix")]
    for slow, fast in pairs:
        ratios = sorted(one / other for one, other in zip(taken[slow], taken[fast], strict=True))
        found[f"{fast}, times faster than {slow}"] = {
            "median": round(statistics.median(ratios), 2),
            "least": round(ratios[0], 2),
            "most": round(ratios[-1], 2),
        }
    print(json.dumps(found, indent=1))
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
