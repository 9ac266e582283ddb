"""How many answers differ between the prefix engine and `generate`, beside two batch sizes of `generate`: `python -m bench.agreement`.

Rounding depends on what is computed together; in float32 no answer changes by it, in shorter types close calls between two
tokens fall one way or the other, in every engine. The nano model answers the questions of `mini` in every way that is compared.
`--out` writes the figures as JSON.
"""

import argparse
import json
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from moe_eval.engine.backend import Backend, Request, Response
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prefix.backend import PrefixBackend
from moe_eval.registry import find_task, own_tasks


def requests_of(task_name: str, limit: int | None) -> list[Request]:
    """The questions of `mini`, as the protocol `llava` asks them."""
    task = find_task(task_name)
    protocol, dataset = task.protocol("llava"), task.load("mini")
    return [
        Request(sample.id, sample.images, protocol.prompt(sample), protocol.max_new_tokens or task.max_new_tokens)
        for sample in (dataset.first(limit) if limit else dataset).samples
    ]


def texts(backend: Backend, requests: list[Request]) -> dict[str, str]:
    """Answers by id."""
    return {answer.id: answer.text for answer in backend.generate(requests) if isinstance(answer, Response)}


def differing(one: dict[str, str], other: dict[str, str]) -> int:
    return sum(text != other[name] for name, text in one.items())


def compare(source: ModelSource, tasks: Iterable[str], batch_size: int, limit: int | None) -> dict[str, dict[str, int]]:
    """By task: how many questions there are, and to how many of them the answers differ."""
    prefix, alone, batched = PrefixBackend(source), GenerateBackend(source, 1), GenerateBackend(source, batch_size)
    alone.loaded = batched.loaded = prefix.loaded
    found = {}
    for task in tasks:
        requests = requests_of(task, limit)
        reference = texts(alone, requests)
        found[task] = {
            "questions": len(requests),
            "prefix": differing(reference, texts(prefix, requests)),
            "batched": differing(reference, texts(batched, requests)),
        }
        print(task, found[task], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.agreement", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="moe-llava-nano")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tasks", nargs="+", default=own_tasks())
    parser.add_argument("--limit", type=int, help="questions of each task, in whole groups")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON to write")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    source = ModelSource(options.model, dtype=options.dtype, device=options.device)
    of_tasks = compare(source, options.tasks, options.batch_size, options.limit)
    total = sum(one["questions"] for one in of_tasks.values())
    shares = {way: 100 * sum(one[way] for one in of_tasks.values()) / total for way in ("prefix", "batched")}
    print(
        f"{options.model} in {options.dtype}, {total:,} questions: answers that differ from generate at batch size 1: prefix "
        f"{shares['prefix']:.2f} %, generate at batch size {options.batch_size} {shares['batched']:.2f} %"
    )
    if options.out:
        found: dict[str, Any] = {
            "command": "python -m bench.agreement",
            **{name: getattr(options, name) for name in ("model", "dtype", "device", "batch_size", "threads")},
            "machine": platform.machine(),
            "torch": torch.__version__,
            "questions": total,
            "percent_that_differ_from_batch_size_1": shares,
            "tasks": of_tasks,
        }
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
