"""Whether a model's weights fit into the memory there is, told before they are read; and what would fit."""

from dataclasses import dataclass
from typing import Any

from moe_eval.engine.quantization import BYTES, has_experts, quantised_weights
from moe_eval.errors import UserError

__all__ = ["Weights", "check_fits", "free_memory", "weights_of"]


@dataclass(frozen=True)
class Weights:
    """How many parameters a model has.

    Args:
        total: all of them.
        quantised: those of `moe_eval.engine.quantization.quantised_weights`.
        sparse: whether experts are among these.
    """

    total: int
    quantised: int
    sparse: bool

    def size(self, itemsize: int, quantize: str | None = None) -> int:
        """Bytes in memory.

        Args:
            itemsize: bytes of a parameter that is not quantised.
        """
        if quantize is None:
            return self.total * itemsize
        return int((self.total - self.quantised) * itemsize + self.quantised * BYTES[quantize])


def weights_of(model: Any) -> Weights:
    """Of a model on the meta device."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    names = quantised_weights(model)
    return Weights(sum(sizes.values()), sum(sizes[name] for name in names if name in sizes), has_experts(names))


def check_fits(
    name: str, weights: Weights, itemsize: int, quantize: str | None, place: str, there: int, spread: int = 0
) -> None:
    """Refuse a model that is too large for the memory there is, naming the smallest change with which it fits.

    Args:
        name: the model's, for the message.
        itemsize: bytes of a parameter that is not quantised.
        place: where it is to be, for the message.
        there: bytes that are free.
        spread: bytes that are free on all devices together; 0 where there is one.

    Raises:
        UserError: when its weights take more.
    """
    size = weights.size(itemsize, quantize)
    if size <= there:
        return
    half = min(itemsize, 2)
    dtype = "--dtype bfloat16" if itemsize > half else ""
    ways = {dtype: weights.size(half, quantize)} if dtype else {}
    ways |= {
        f"{dtype} --quantize {way}".strip(): weights.size(half, way)
        for way in ("8bit", "4bit")
        if BYTES[way] < BYTES.get(quantize or "", itemsize) and not (way == "4bit" and weights.sparse)
    }
    fitting = [f"{option} makes it {_gb(less)}" for option, less in ways.items() if less <= there]
    if size <= spread:
        fitting.insert(0, f"--device-map auto spreads it over {_gb(spread)} of all devices")
    least = min(ways.values(), default=size)
    way_out = fitting[0] if fitting else f"the least that it can take is {_gb(least)}, which needs another machine"
    raise UserError(f"model {name}: its weights take {_gb(size)}, and {place} has {_gb(there)} free; {way_out}")


def free_memory(device: Any, device_map: str | None) -> tuple[str, int, int]:
    """A place for weights by name, the bytes that are free there, and those on all devices together (0 where there is one).

    Args:
        device: of torch.
        device_map: how layers are spread; None: all are on the device.
    """
    import torch

    from moe_eval.machine.resources import available_memory

    gpus = [torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())]
    everywhere = sum(gpus) + available_memory()
    if device_map is not None:
        return "all devices together", everywhere, 0
    if device.type == "cuda":
        return str(device), gpus[device.index or 0], everywhere
    return str(device), available_memory(), 0


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
