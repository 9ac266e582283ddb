"""All of POPE on a GPU, by a model of true size: `python -m bench.gpu`.

A model of the zoo with random bfloat16 weights answers POPE's official questions (8,910 about 500 pictures, which are made up here) in the
prefix engine, and `--plain` of them by `generate`, one prompt at a time. Every answer is two tokens, as many as "Yes" or "No" and the end take
in LLaVA-1.5-13B's released answers. The tokenizer is the tiny checkpoint's, which takes more tokens for a question than the model's own. `--shape tiny
--device cpu --questions 60` tries it out on a CPU. `--out` writes the figures as JSON. Experts alone are timed by `bench.experts`.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from bench.generate import processor_of_336_pixels
from moe_eval.engine.backend import Backend, Request
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prefix.backend import PrefixBackend
from moe_eval.mini.world import make_scenes
from moe_eval.registry import find_task
from moellava import MoELlavaForConditionalGeneration, MoELlavaProcessor, zoo

NEW_TOKENS = 2


def pope(count: int | None) -> list[Request]:
    """POPE's questions in its own order, the first `count`."""
    task = find_task("pope")
    samples, prompt = task.load("official").samples[:count], task.protocol("llava").prompt
    names = list(dict.fromkeys(sample.group for sample in samples))
    scenes = dict(zip(names, make_scenes(len(names), 0, "test"), strict=True))
    return [Request(sample.id, (scenes[sample.group],), prompt(sample), NEW_TOKENS) for sample in samples]


def random_model(shape: str, device: str) -> tuple[Any, MoELlavaProcessor]:
    """A model of the zoo's shape with random bfloat16 weights that ends no answer of its own accord, and a processor for it."""
    config = zoo.architecture("moe-llava-tiny" if shape == "tiny" else shape)
    tiny = MoELlavaProcessor.from_pretrained(zoo.resolve("moe-llava-tiny"))
    processor = tiny if shape == "tiny" else processor_of_336_pixels()
    config.image_token_index = processor.image_token_id
    torch.manual_seed(0)
    with torch.device(device):
        model = MoELlavaForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
    model.generation_config.eos_token_id = config.get_text_config().vocab_size  # which no token has
    return model.eval(), processor


def seconds(backend: Backend, requests: list[Request]) -> float:
    """Wall time of all answers, pictures included; tokens are read from the device as they come, so that nothing is left open."""
    start = time.perf_counter()
    answered = sum(1 for _ in backend.generate(requests))
    assert answered == len(requests)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--shape", default="moe-llava-2.7bx4", help="a name of the zoo, or tiny")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--questions", type=int, help="of POPE; default: all 8,910")
    parser.add_argument("--plain", type=int, default=200, help="of these, asked by generate one at a time")
    parser.add_argument("--out", type=Path, help="JSON to write")
    options = parser.parse_args()
    pair = random_model(options.shape, options.device)
    source = ModelSource(options.shape, device=options.device)
    requests = pope(options.questions)
    prefix, plain = PrefixBackend(source), GenerateBackend(source, 1)
    prefix.loaded = plain.loaded = pair
    seconds(prefix, requests[:4])  # warms up
    seconds(plain, requests[:4])
    found: dict[str, Any] = {
        "command": "python -m bench.gpu",
        "shape": options.shape,
        "device": torch.cuda.get_device_name() if options.device != "cpu" else "cpu",
        "questions": len(requests),
        "pictures": len({request.images for request in requests}),
        "seconds in the prefix engine": seconds(prefix, requests),
        "questions by generate": len(requests[: options.plain]),
        "seconds by generate": seconds(plain, requests[: options.plain]),
    }
    rates = [found["questions"] / found["seconds in the prefix engine"]]
    rates.append(found["questions by generate"] / found["seconds by generate"])
    found["times faster"] = rates[0] / rates[1]
    print(json.dumps(found, indent=1))
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
