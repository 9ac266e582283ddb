"""Questions per second of the `generate` backend, one at a time and batched: `python -m bench.generate`.

Two models with random weights: the tiny oracle checkpoint, and a Phi-shaped one (8 layers, width 512, 4 experts in
every other layer, 576 image tokens). Both settings run in one process on the same questions, interleaved; decoding is
greedy and answers are cut at `--new-tokens`, so that both do the same work. `--out` writes the figures as JSON.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PhiConfig,
)

from moe_eval.engine.backend import Request
from moe_eval.engine.generate import GenerateBackend
from moe_eval.engine.models import ModelSource
from moe_eval.mini.world import make_scenes
from moellava import MoEConfig, MoELlavaConfig, MoELlavaForConditionalGeneration, MoELlavaProcessor, zoo


def processor_of_336_pixels() -> MoELlavaProcessor:
    """The tiny checkpoint's tokenizer with pictures of true size."""
    processor = MoELlavaProcessor.from_pretrained(zoo.resolve("moe-llava-tiny"))
    processor.image_processor.size, processor.image_processor.crop_size = (
        {"shortest_edge": 336},
        {"height": 336, "width": 336},
    )
    return processor


def save_phi_shaped(folder: Path) -> Path:
    """A model with random weights, and the tiny checkpoint's tokenizer with true-size pictures."""
    processor = processor_of_336_pixels()
    processor.save_pretrained(folder)
    torch.manual_seed(0)
    text = PhiConfig(
        hidden_size=512, intermediate_size=2048, num_hidden_layers=8, num_attention_heads=8, vocab_size=51200,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    config = MoELlavaConfig(
        text_config=text,
        vision_config=tower_of_336_pixels(),
        moe=MoEConfig(layers=[0, 2, 4, 6]),
        image_token_index=processor.image_token_id,
    )
    MoELlavaForConditionalGeneration(config).save_pretrained(folder)
    return folder


def save_llama_shaped(folder: Path) -> Path:
    """A dense model of ours with random weights, the same tower and tokenizer, and as many picture tokens."""
    processor = processor_of_336_pixels()
    processor.save_pretrained(folder)
    torch.manual_seed(0)
    config = MoELlavaConfig(**_llama_and_tower(processor), moe=MoEConfig(layers=[]))
    MoELlavaForConditionalGeneration(config).save_pretrained(folder)
    return folder


def save_llama_shaped_as_llava(folder: Path) -> Path:
    """A model of the same shape as transformers' own Llava, for programs that know no other."""
    ours = processor_of_336_pixels()
    LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}),
        tokenizer=ours.tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=ours.chat_template,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    LlavaForConditionalGeneration(LlavaConfig(**_llama_and_tower(ours))).save_pretrained(folder)
    return folder


def _llama_and_tower(processor: MoELlavaProcessor) -> dict[str, Any]:
    text = LlamaConfig(
        hidden_size=512, intermediate_size=1408, num_hidden_layers=8, num_attention_heads=8, vocab_size=32000,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    tower = tower_of_336_pixels()
    return {"text_config": text, "vision_config": tower, "image_token_index": processor.image_token_id}


def tower_of_336_pixels() -> CLIPVisionConfig:
    """A small CLIP tower that makes 576 tokens of a picture."""
    return CLIPVisionConfig(
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=6,
        num_attention_heads=4,
        image_size=336,
        patch_size=14,
    )


def questions(count: int, new_tokens: int) -> list[Request]:
    """POPE-like questions, six about each picture."""
    scenes = make_scenes(-(-count // 6), 0, "test")
    suffix = "\nAnswer the question using a single word or phrase."
    return [
        Request(str(i), (scenes[i // 6],), f"Is there a red circle in the image?{suffix}", new_tokens)
        for i in range(count)
    ]


def seconds(backend: GenerateBackend, requests: list[Request]) -> float:
    start = time.perf_counter()
    answered = sum(1 for _ in backend.generate(requests))
    assert answered == len(requests)
    return time.perf_counter() - start


def compare(name: str, source: ModelSource, count: int, batch_size: int, new_tokens: int, repeat: int) -> dict:
    requests = questions(count, new_tokens)
    backends = {size: GenerateBackend(source, size) for size in (1, batch_size)}
    for backend in backends.values():
        seconds(backend, requests[:2])
    times: dict[int, list[float]] = {size: [] for size in backends}
    for _ in range(repeat):
        for size, backend in backends.items():
            times[size].append(seconds(backend, requests))
    rates = {size: count / statistics.median(values) for size, values in times.items()}
    speedup = rates[batch_size] / rates[1]
    print(
        f"{name:12} batch 1: {rates[1]:7.2f} questions/s   batch {batch_size}: {rates[batch_size]:7.2f}   {speedup:.2f}x"
    )
    return {"model": name, "questions": count, "questions_per_second": rates, "speedup": speedup, "seconds": times}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=48)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--new-tokens", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = {"tiny": "moe-llava-tiny", "phi-shaped": str(save_phi_shaped(Path(folder)))}
        results = [
            compare(
                name,
                ModelSource(model, device=options.device),
                options.questions,
                options.batch_size,
                options.new_tokens,
                options.repeat,
            )
            for name, model in models.items()
        ]
    if options.out:
        device = (
            torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
        )
        record = {"command": "python -m bench.generate", "device": device, "machine": platform.machine()}
        options.out.write_text(json.dumps(record | {"results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
