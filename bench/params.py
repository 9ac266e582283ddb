"""What counting a model's parameters takes: `python -m bench.params`.

The default configurations of the largest sparse architectures of transformers, which are those of published models, each
in a process of its own: processor time and memory of laying the model out and counting, and how much of both is Python
with transformers loaded. `--out` writes the figures as JSON.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import time
from pathlib import Path

ARCHITECTURES = (
    "inkling_mm_model",
    "kimi_k25",
    "mistral_large4",
    "minimax_m3_vl",
    "llama4",
    "glm4v_moe",
    "qwen3_5_moe",
)


def measure(architecture: str) -> dict:
    """Counts of one architecture, with the seconds and the peak of memory (GB) of this process."""
    import torch
    from transformers import AutoConfig

    from moe_eval.engine.parameters import count_parameters

    torch.set_num_threads(1)
    config = AutoConfig.for_model(architecture)
    before, memory = time.process_time(), peak()
    count = count_parameters(config)
    return {
        "architecture": architecture,
        "total": count.total,
        "activated": count.activated,
        "seconds": round(time.process_time() - before, 2),
        "gigabytes": round(peak(), 2),
        "gigabytes_before": round(memory, 2),
    }


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # Linux counts in kilobytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(ARCHITECTURES), help="architectures of transformers")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for result in pool.imap(measure, options.models.split(",")):
            print(
                f"{result['architecture']:18} {result['total'] / 1e9:7.1f}B, activated {result['activated'] / 1e9:5.1f}B"
                f"   {result['seconds']:5.2f} s   {result['gigabytes']:.2f} GB (before: {result['gigabytes_before']:.2f})",
                flush=True,
            )
            results.append(result)
    if options.out:
        record = {"command": "python -m bench.params", "device": "CPU, 1 thread", "machine": platform.machine()}
        options.out.write_text(json.dumps(record | {"results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
