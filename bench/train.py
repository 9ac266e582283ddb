"""Training speed in one run: packing against padding, and the experts' implementations: `python -m bench.train`.

A Phi-shaped model with random weights takes full training steps (forward, backward, AdamW) on generated conversations:
a picture, a system text that all share, and texts whose length varies by more than a factor of ten. "Useful" tokens are
those of the conversations as they are alone, padding not counted, a shared prefix counted as often as it is used.
All variants of a comparison see the same conversations, and take turns; the median of the repetitions counts. On a CPU
seconds are the process's CPU seconds, which a busy machine changes little (run it with OMP_NUM_THREADS=1).
`--true-size` takes MoE-LLaVA-2.7B's configuration in bfloat16 (a GPU of 80 GB), and prints MFU where the device's peak is
known. `--out` writes the figures as JSON.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from accelerate.utils import send_to_device
from transformers import CLIPVisionConfig, PhiConfig

from bench import einsum_dispatch
from moellava import MoEConfig, MoELlavaConfig, MoELlavaForConditionalGeneration, zoo
from moellava.accounting import parameter_shapes
from moellava.training.block_attention import use_block_attention
from moellava.training.collate import Collator
from moellava.training.dataset import Example
from moellava.training.flops import training_flops
from moellava.training.grouping import ModalityLengthSampler
from moellava.training.labels import IGNORED, Conversation
from moellava.training.metrics import peak_flops
from moellava.training.packing import Packing
from moellava.training.stages import mark_trained

SYSTEM_TOKENS = 40
STAGES = {2: "all-but-tower", 3: "moe-as-scripted"}


def phi_shaped(layers: Sequence[int]) -> MoELlavaConfig:
    """4 layers of width 256 over 64 picture rows; `layers` are sparse."""
    text = PhiConfig(
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=4,
        num_attention_heads=4,
        vocab_size=2048,
        max_position_embeddings=4096,
        bos_token_id=0,
        eos_token_id=0,
        resid_pdrop=0.0,
    )
    vision = CLIPVisionConfig(
        hidden_size=96,
        intermediate_size=384,
        num_hidden_layers=2,
        num_attention_heads=3,
        image_size=112,
        patch_size=14,
    )
    return MoELlavaConfig(
        text_config=text, vision_config=vision, moe=MoEConfig(layers=list(layers)), image_token_index=2048
    )


def true_size(layers: Sequence[int]) -> MoELlavaConfig:
    """MoE-LLaVA-2.7B x 4 (Phi-2, CLIP-336); `layers` are sparse."""
    config = zoo.architecture("moe-llava-2.7bx4")
    config.moe = MoEConfig(layers=list(layers))
    return config


def examples(config: MoELlavaConfig, items: int, rounds: int, seed: int) -> list[Example]:
    """Items with a picture and `rounds` single-turn conversations each; the lengths of the texts are log-normal."""
    random, vision = np.random.default_rng(seed), config.vision_config
    patches, size = (vision.image_size // vision.patch_size) ** 2, vision.image_size
    begin = np.concatenate([np.arange(SYSTEM_TOKENS), np.full(patches, config.image_token_id)])
    pictures = np.array([[SYSTEM_TOKENS, len(begin)]])
    made = []
    for item in range(items):
        conversations = []
        for _ in range(rounds):
            median = 90 if rounds == 1 else 15
            text = random.integers(0, 2048, int(np.clip(random.lognormal(np.log(median), 0.9), 8, 8 * median)))
            ids = np.concatenate([begin, text])
            labels = np.where(np.arange(len(ids)) < len(ids) - len(text) // 2, IGNORED, ids)
            conversations.append(Conversation(ids, labels, pictures))
        pixels = torch.from_numpy(random.standard_normal((1, 3, size, size), dtype=np.float32))
        made.append(Example(str(item), tuple(conversations), pixels))
    return made


@dataclass
class Trainee:
    """A model of one stage with its optimizer."""

    config: MoELlavaConfig
    stage: int
    device: str
    dtype: torch.dtype

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        with torch.device(self.device):
            torch.set_default_dtype(self.dtype)
            self.model = MoELlavaForConditionalGeneration(self.config).train()
            torch.set_default_dtype(torch.float32)
        mark_trained(self.model, STAGES[self.stage])
        if self.device != "cpu":
            self.model.gradient_checkpointing_enable()
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-6, fused=True)

    def seconds(self, batches: Sequence[dict], experts: str | None = None) -> float:
        """Of training steps on these batches, which are all packed or all padded."""
        if experts is not None:
            self.config._experts_implementation_internal = experts
        if "segments" in batches[0]:
            use_block_attention(self.model)
        else:
            self.model.get_decoder().config._attn_implementation = "sdpa"
        clock = time.process_time if self.device == "cpu" else time.perf_counter
        start = clock()
        for batch in batches:
            inputs = send_to_device({key: value for key, value in batch.items() if key != "ids"}, self.device)
            if "pixel_values" in inputs:
                inputs["pixel_values"] = inputs["pixel_values"].to(self.dtype)
            self.model(**inputs).loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
        if self.device != "cpu":
            torch.cuda.synchronize()
        return clock() - start


def batches(items: Sequence[Example], size: int, packing: Packing | None, grouped: bool) -> list[dict]:
    """The items in batches, in their order or grouped by length over megabatches of four."""
    order: Sequence[int] = range(len(items))
    if grouped:
        lengths = [sum(len(part) for part in item.conversations) for item in items]
        order = list(ModalityLengthSampler(lengths, size, 4))
    chosen = [[items[i] for i in order[start : start + size]] for start in range(0, len(items), size)]
    return [Collator(0, packing)(batch) for batch in chosen]


def compare(
    title: str, variants: dict[str, Callable[[], float]], tokens: int, repeat: int, facts: Callable[[float], dict]
) -> list[dict]:
    """Useful tokens per second of every variant, which take turns."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for repetition in range(repeat + 1):
        for name, run in variants.items():
            elapsed = run()
            if repetition:  # the first one warms up
                times[name].append(elapsed)
    print(f"{title}, {tokens:,} useful tokens")
    results, base = [], statistics.median(next(iter(times.values())))
    for name, values in times.items():
        median = statistics.median(values)
        result = {"variant": name, "tokens_per_second": tokens / median, "speedup": base / median, "seconds": values}
        result |= facts(median)
        print(
            f"  {name:34} {tokens / median:9,.0f} tokens/s  {base / median:5.2f}x"
            + (f"  MFU {result['mfu']:.1%}" if "mfu" in result else "")
        )
        results.append(result)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--true-size", action="store_true")
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=8, help="rounds per item, where items have several")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--peak-tflops", type=float, help="of the device, for MFU, where it is not known")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    make = true_size if options.true_size else phi_shaped
    dtype = torch.bfloat16 if options.true_size else torch.float32
    device = torch.device(options.device)
    peak = peak_flops(device, options.peak_tflops, "bf16" if options.true_size else "fp32")
    dense, depth = make(()), make(()).text_config.num_hidden_layers
    single = examples(dense, options.items, 1, seed=1)
    several = examples(dense, 2, options.rounds, seed=2)

    def useful(items: Sequence[Example]) -> int:
        return sum(len(part) for item in items for part in item.conversations)

    def mfu(config: MoELlavaConfig, stage: int, items: Sequence[Example]) -> Callable[[float], dict]:
        rate = training_flops(config, parameter_shapes(config), STAGES[stage])
        alone = [Collator(0)([item]) for item in items]
        flops = sum(rate.of(batch) for batch in alone)
        return lambda seconds: {"mfu": flops / seconds / peak} if peak else {}

    size, packing, results = options.batch_size, Packing(), {}
    stage2 = Trainee(dense, 2, options.device, dtype)
    rows = {
        "padded, in random order": batches(single, size, None, grouped=False),
        "padded, grouped by length": batches(single, size, None, grouped=True),
        "packed, in random order": batches(single, size, packing, grouped=False),
    }
    runs = {name: (lambda made=made: stage2.seconds(made)) for name, made in rows.items()}
    results["packing"] = compare(
        f"Stage 2, one conversation per picture, {options.items} of them in batches of {size}",
        runs, useful(single), options.repeat, mfu(dense, 2, single),
    )  # fmt: skip
    rows = {
        "padded": batches(several, 1, None, grouped=False),
        "packed": batches(several, 1, packing, grouped=False),
        "packed, shared prefix": batches(several, 1, Packing(share_prefix=True), grouped=False),
    }
    runs = {name: (lambda made=made: stage2.seconds(made)) for name, made in rows.items()}
    results["rounds"] = compare(
        f"Stage 2, {options.rounds} questions per picture, {len(several)} pictures one at a time",
        runs, useful(several), options.repeat, mfu(dense, 2, several),
    )  # fmt: skip
    made = batches(single, size, packing, grouped=False)
    runs = {"dense (stage 2)": lambda: stage2.seconds(made)}
    if options.true_size:
        del stage2, runs["dense (stage 2)"]  # both do not fit beside each other
        torch.cuda.empty_cache()
    sparse = make(tuple(range(0, depth, 2)))
    stage3 = Trainee(sparse, 3, options.device, dtype)
    for name in (einsum_dispatch.NAME, "eager", "grouped_mm"):
        runs[f"sparse (stage 3), {name}"] = lambda name=name: stage3.seconds(made, name)
    results["experts"] = compare(
        f"Stage 3, 4 experts, top-2, in every other layer, packed; {size} conversations per step",
        runs, useful(single), options.repeat, mfu(sparse, 3, single),
    )  # fmt: skip
    if options.out:
        threads = f"CPU, {torch.get_num_threads()} threads"
        record = {
            "command": "python -m bench.train" + " --true-size" * options.true_size,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else threads,
            "clock": "process CPU seconds" if device.type == "cpu" else "wall seconds",
            "machine": platform.machine(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "dtype": str(dtype),
        }
        options.out.write_text(json.dumps(record | {"results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
