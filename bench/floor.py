"""How near a pass over prefixes is to what the machine's matrix products alone would take; part of `bench.engine`."""

import statistics
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from transformers import DynamicCache

from moe_eval.engine.backend import Request
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prefix.encoding import Encoder, pack_inputs
from moe_eval.engine.prefix.packing import Pack
from moellava.accounting import forward_flops

PRODUCTS = ("mm", "addmm", "bmm", "linear", "_scaled_mm", "grouped_mm", "convolution")


def product_speed(tokens: int, width: int, hidden: int, dtype: torch.dtype, device: Any, timed: "Timed") -> float:
    """Operations per second of the product of a feed-forward layer, a multiply-add counted as two."""
    left = torch.randn(tokens, width, dtype=dtype, device=device)
    right = torch.randn(width, hidden, dtype=dtype, device=device)
    return 2 * tokens * width * hidden * 10 / timed(lambda: [left @ right for _ in range(10)])


@torch.inference_mode()
def prefill_floor(source: ModelSource, requests: list[Request], repeats: int, clock: Callable[[], float]) -> dict:
    """The share of the floor in a pass over the prefixes of questions with a picture each, and where its time goes.

    The floor is what the floating-point operations that follow from the model's configuration take at the speed of the matrix
    product [tokens, width] x [width, hidden] in the model's dtype, measured in turns with the pass.
    """
    model, processor = source.load()
    config, text = model.config, model.config.get_text_config()
    encoder = Encoder(processor)
    rows = [row for one in requests for row in encoder.rows([one], [image.open() for image in one.images])]
    inputs = pack_inputs(Pack(rows), model.device, model.dtype)
    patches = (config.vision_config.image_size // config.vision_config.patch_size) ** 2
    costs = [forward_flops(config, len(row.prefix) - patches) for row in rows]
    operations = sum(cost.image + cost.prefill for cost in costs)

    def answer() -> None:
        model(**inputs, past_key_values=DynamicCache(), use_cache=True, logits_to_keep=1)

    timed = Timed(clock, model.device)
    answer()
    shares, speeds, seconds = [], [], []
    for _ in range(repeats):
        tokens = inputs["input_ids"].numel()
        speeds.append(product_speed(tokens, text.hidden_size, text.intermediate_size, model.dtype, model.device, timed))
        seconds.append(timed(answer))
        shares.append(operations / speeds[-1] / seconds[-1])
    return {
        "pictures": len(rows),
        "operations": operations,
        "operations per second of a matrix product": statistics.median(speeds),
        "seconds of the pass": statistics.median(seconds),
        "share of the floor": {
            "median": round(statistics.median(shares), 3),
            "least": round(min(shares), 3),
            "most": round(max(shares), 3),
        },
        "share of the pass's time": _where_time_goes(answer, model.device),
    }


class Timed:
    """Seconds of a call by a clock; a GPU is waited for."""

    def __init__(self, clock: Callable[[], float], device: torch.device):
        self._clock, self._device = clock, device

    def __call__(self, function: Callable[[], Any]) -> float:
        start = self._clock()
        function()
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return self._clock() - start


def _where_time_goes(function: Callable[[], Any], device: torch.device) -> dict[str, float]:
    """By torch's profiler: matrix products, attention, and the rest."""
    on_gpu = device.type == "cuda"
    activity = torch.profiler.ProfilerActivity.CUDA if on_gpu else torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[activity]) as profile:
        function()
    spent: Counter[str] = Counter()
    for event in profile.key_averages():
        name = event.key.removeprefix("aten::")
        kind = "attention" if "attention" in name else "matrix products" if _is_product(name) else "the rest"
        spent[kind] += event.self_device_time_total if on_gpu else event.self_cpu_time_total
    return {kind: round(time / spent.total(), 3) for kind, time in spent.most_common()}


def _is_product(name: str) -> bool:
    return name in PRODUCTS or any(word in name for word in ("gemm", "mkldnn", "convolution", "cutlass"))
