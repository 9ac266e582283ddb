"""Which experts implementation is fastest on this machine: `python -m bench.experts [--dtype bfloat16]`.

One sparse block of Phi-2's shape (or `--width`, `--experts`), over a prompt and over one decoding step of a batch; all
implementations in one process, interleaved, median of the repetitions.
"""

import argparse
import statistics
import time

import torch
from transformers import PhiConfig
from transformers.models.phi.modeling_phi import PhiMLP

from moellava.configuration import MoEConfig, MoELlavaConfig
from moellava.moe import SparseMoeBlock

IMPLEMENTATIONS = ("eager", "batched_mm", "grouped_mm")


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=2560)
    parser.add_argument("--experts", type=int, default=4)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tokens", type=int, nargs="+", default=[640, 16, 1])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--skip", nargs="*", default=[], help="cases such as batched_mm:640 that take too much memory")
    arguments = parser.parse_args()
    text = PhiConfig(hidden_size=arguments.width, intermediate_size=4 * arguments.width, num_hidden_layers=1)
    config = MoELlavaConfig(text_config=text, moe=MoEConfig(layers=[0], num_experts=arguments.experts))
    block = SparseMoeBlock(config, arguments.experts, PhiMLP(text)).eval()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    block.to(arguments.device, getattr(torch, arguments.dtype))
    print(f"{'tokens':>8} " + " ".join(f"{name:>14}" for name in IMPLEMENTATIONS) + "   (milliseconds, median)")
    for tokens in arguments.tokens:
        hidden = torch.randn(tokens, arguments.width, device=arguments.device, dtype=getattr(torch, arguments.dtype))
        times: dict[str, list[float]] = {name: [] for name in IMPLEMENTATIONS}
        for repetition in range(arguments.repeat + 1):
            for name in IMPLEMENTATIONS:
                if f"{name}:{tokens}" in arguments.skip:
                    continue
                config._experts_implementation_internal = name
                start = time.perf_counter()
                block(hidden)
                if arguments.device.startswith("cuda"):
                    torch.cuda.synchronize()
                if repetition:  # the first one warms up
                    times[name].append(1000 * (time.perf_counter() - start))
        cells = [f"{statistics.median(values):14.1f}" if values else f"{'skipped':>14}" for values in times.values()]
        print(f"{tokens:8} " + " ".join(cells), flush=True)


if __name__ == "__main__":
    main()
