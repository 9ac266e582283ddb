"""OpenVINO GenAI as a side of `bench.engines`: continuous batching with prefix caching, of a model that optimum-intel has exported.

optimum-intel 2.2 wants transformers before 5.6, so exporting takes an environment of its own; running takes `openvino-genai` alone.
"""

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from moe_eval.engine.backend import Request, Response

__all__ = ["OpenVino", "export"]


def export(model: Path, optimum: Path, folder: Path) -> Path:
    """A folder with transformers' Llava as OpenVINO has it, its weights in float32; those of the tower, whose names the older
    transformers does not know, are drawn anew.

    Args:
        optimum: the `optimum-cli` of the environment with optimum-intel.
    """
    words = ["--model", str(model), "--task", "image-text-to-text", "--weight-format", "fp32", str(folder)]
    subprocess.run([str(optimum), "export", "openvino", *words], check=True, stdout=subprocess.DEVNULL)
    return folder


class OpenVino:
    """Answers of an exported model, all questions handed over together, everything in float32.

    Raises:
        ImportError: without `openvino-genai`.
    """

    def __init__(self, folder: Path, threads: int):
        import openvino_genai

        scheduler = openvino_genai.SchedulerConfig()
        scheduler.enable_prefix_caching = True
        scheduler.cache_size = 2  # GB
        # Left to itself it computes in bfloat16 where the processor can, and keeps keys and values in 8 bits.
        settings = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "INFERENCE_NUM_THREADS": threads}
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(str(folder), scheduler, "CPU", settings)

    def generate(self, requests: Iterable[Request]) -> Iterator[Response]:
        """In the order of the requests; it renders the model's own chat template."""
        asked = list(requests)
        pictures = [[_tensor(image) for image in request.images] for request in asked]
        found = self._pipeline.generate([request.text for request in asked], pictures, list(map(_greedy, asked)))
        for request, answer in zip(asked, found, strict=True):
            yield Response(request.id, answer.texts[0], tokens=request.max_new_tokens, finish_reason="length")


def _tensor(image: Any) -> Any:
    import openvino

    return openvino.Tensor(np.asarray(image.open().convert("RGB"))[None])  # [1, height, width, 3] uint8


def _greedy(request: Request) -> Any:
    import openvino_genai

    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = config.min_new_tokens = request.max_new_tokens
    config.do_sample = False
    return config
