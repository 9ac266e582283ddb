"""What is measured while training: expert load, balancing loss, tokens, speed, and share of the hardware's peak."""

import time
from dataclasses import dataclass, field

import torch

__all__ = ["PEAK_TFLOPS", "StepMeter", "load_metrics", "peak_flops"]

PEAK_TFLOPS = {
    "B200": 2250,
    "H200": 989,
    "H100": 989,
    "H800": 989,
    "A100": 312,
    "A800": 312,
    "L40S": 362,
    "L4": 121,
    "A10": 125,
    "RTX 4090": 165,
    "RTX 3090": 71,
    "MI300X": 1307,
}
"""Dense bfloat16 TFLOP/s of devices, by a part of their name, from the vendors' data sheets."""


def peak_flops(device: torch.device, configured_tflops: float | None, precision: str) -> float | None:
    """FLOP/s that MFU is a share of: the recipe's, or the device's bfloat16 peak; None where neither is known."""
    if configured_tflops is not None:
        return configured_tflops * 1e12
    if device.type != "cuda" or precision != "bf16":
        return None
    name = torch.cuda.get_device_name(device)
    return next((tflops * 1e12 for part, tflops in PEAK_TFLOPS.items() if part in name), None)


@dataclass
class StepMeter:
    """Sums over the micro-batches since the last log line.

    Args:
        layers: the sparse layers.
        counts: [layers, experts] choices per expert since the last line, and (`watched`) since the last look for dead
            experts.
    """

    layers: list[int]
    top_k: int
    aux_loss: torch.Tensor | None = None
    counts: torch.Tensor | None = None
    watched: torch.Tensor | None = None
    micro_batches: int = 0
    tokens: float = 0.0
    flops: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def add(self, outputs, valid: torch.Tensor, flops: float) -> None:
        """Take note of one forward pass; `valid` [rows * sequence] bool tells tokens from padding."""
        self.micro_batches += 1
        self.tokens += float(valid.sum())
        self.flops += flops
        if getattr(outputs, "router_logits", None):
            counts = torch.stack([self._chosen(logits, valid) for logits in outputs.router_logits])
            self.counts = counts if self.counts is None else self.counts + counts
            self.watched = counts if self.watched is None else self.watched + counts
            aux_loss = outputs.aux_loss.detach()
            self.aux_loss = aux_loss if self.aux_loss is None else self.aux_loss + aux_loss

    def _chosen(self, router_logits: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """[experts] how often each is among a token's top k; without drops and noise this is what was computed."""
        chosen = router_logits.detach()[valid].topk(self.top_k, dim=-1).indices
        return torch.bincount(chosen.flatten(), minlength=router_logits.shape[-1]).double()

    def restart(self) -> None:
        """Begin a new log line."""
        self.aux_loss = self.counts = None
        self.micro_batches, self.tokens, self.flops, self.started = 0, 0.0, 0.0, time.perf_counter()


def load_metrics(counts: torch.Tensor, layers: list[int]) -> dict[str, float]:
    """Shares of the choices per layer and expert, and each layer's entropy as a share of the largest possible (1 when
    balanced), with their mean.

    Args:
        counts: [layers, experts].
    """
    shares = counts / counts.sum(dim=-1, keepdim=True).clamp(min=1)
    entropy = torch.special.entr(shares).sum(dim=-1) / torch.log(torch.tensor(float(max(2, counts.shape[-1]))))
    logs = {"load_entropy": entropy.mean().item()}
    for layer, layer_entropy, layer_shares in zip(layers, entropy.tolist(), shares.tolist(), strict=True):
        logs[f"load_entropy/layer{layer}"] = layer_entropy
        logs |= {f"load/layer{layer}/expert{expert}": share for expert, share in enumerate(layer_shares)}
    return logs
