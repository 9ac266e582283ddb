"""Weights in fewer bits: which of a model's, and by which library.

The language model's linear layers and experts are quantised. Routers, embeddings, head, vision tower and projector stay as they
are: they are small, and a router's choices are kept.
"""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

from moe_eval.errors import UserError, unknown

__all__ = [
    "BYTES",
    "LIBRARIES",
    "check_quantization",
    "has_experts",
    "library_version",
    "quantised_weights",
    "quantization_options",
]

LIBRARIES = {"8bit": "torchao", "4bit": "bitsandbytes"}
"""int8 with a scale per row; 4-bit normal floats with a scale per 64 weights."""

BYTES = {"8bit": 1.0, "4bit": 0.5}
"""Of a weight, its share of a scale not counted."""

ROUTERS = ("gate", "router")
"""Last names of modules that choose experts."""


def check_quantization(way: str) -> None:
    """Complain about a way that there is not, or whose library is missing.

    Raises:
        UserError: naming those there are, or what to install.
    """
    if way not in LIBRARIES:
        raise unknown("way of --quantize", way, LIBRARIES)
    if find_spec(LIBRARIES[way]) is None:
        raise UserError(f"--quantize {way}: {LIBRARIES[way]} is not installed: pip install 'moe-llava-eval[quantize]'")


def library_version(way: str) -> str:
    """Such as `torchao 0.18.0`, for run records."""
    from importlib.metadata import version

    return f"{LIBRARIES[way]} {version(LIBRARIES[way])}"


def quantised_weights(model: Any) -> list[str]:
    """Names of the parameters that are quantised.

    Args:
        model: an image-text-to-text model of transformers, which may be on the meta device.
    """
    from torch import nn

    decoder = model.get_decoder()
    (prefix,) = (name for name, module in model.named_modules() if module is decoder)
    names = []
    for name, module in decoder.named_modules(prefix=prefix):
        last = name.rpartition(".")[2]
        if isinstance(module, nn.Linear) and last not in ROUTERS:
            names.append(f"{name}.weight")
        elif last == "experts":
            names += [f"{name}.{key}" for key, weight in module.named_parameters(recurse=False) if weight.ndim == 3]
    return names


def has_experts(names: Iterable[str]) -> bool:
    """Whether stacked experts are among some quantised weights."""
    return any(name.split(".")[-2] == "experts" for name in names)


def quantization_options(way: str, model: Any) -> dict[str, Any]:
    """Arguments of `from_pretrained`.

    Args:
        model: laid out on the meta device.

    Raises:
        UserError: for a sparse model in 4 bits: bitsandbytes knows linear layers only, and experts are most of the weights.
    """
    names = quantised_weights(model)
    experts = has_experts(names)
    if way == "4bit":
        from transformers import BitsAndBytesConfig

        if experts:
            raise UserError(
                "--quantize 4bit: bitsandbytes quantises linear layers only, not stacked experts, which are most of this "
                "model's weights; --quantize 8bit does both"
            )
        kept = [name for name in _linear_layers(model) if f"{name}.weight" not in names]
        return {
            "quantization_config": BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                llm_int8_skip_modules=kept,
            )
        }
    from torchao.quantization import FqnToConfig, Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    options: dict[str, Any] = {
        "quantization_config": TorchAoConfig(FqnToConfig(dict.fromkeys(names, Int8WeightOnlyConfig())))
    }
    if experts:  # the loop over experts is the one implementation whose operations torchao has for int8
        options["experts_implementation"] = "eager"
    return options


def _linear_layers(model: Any) -> list[str]:
    from torch import nn

    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
