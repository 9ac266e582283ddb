"""The four downloads that make up TinyGPT-V, as one stream of tensors: later files replace what earlier ones hold.

Names: Phi's as they are (`model.…`, `lm_head.…`), the tower's after `visual_encoder.`, BLIP-2's as they are.
Source: TinyGPT-V `mini_gpt4.py`, peft 0.2.0; spec/peer_models.md sections 2.2 and 2.3.
"""

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from moellava.convert.source import ConversionError, iterate_tensors, open_weights, weight_files

__all__ = ["PHI", "TOWER", "TRAINED", "Release", "find_release", "head_rows", "shapes", "tensors", "with_zero_biases"]

PHI = "phi-2"
EVA = "eva_vit_g.pth"
BLIP2 = "blip2_pretrained_flant5xxl.pth"
TRAINED = "TinyGPT-V_for_Stage*.pth"
TOWER = "visual_encoder."
BUFFERS = re.compile(r".*(position_ids|rotary_emb\.inv_freq)$")
LORA = re.compile(r"(.*)\.lora_([AB])\.(?:default\.)?weight$")
NEVER_STORED = ((r"\.attn\.q_bias$", ".attn.k_bias"), (r"\.([qk])_layernorm\.weight$", r".\1_layernorm.bias"))
"""Names beside which there is a bias that the original does not have, or never saved: zero."""
QKV = re.compile(r"(.*\.self_attn)\.([qkv])_proj$")


@dataclass(frozen=True)
class Release:
    """The files, and what training left (`trained`): tensors by name, memory-mapped."""

    folder: Path
    trained_file: Path
    trained: dict[str, torch.Tensor]


def find_release(folder: Path) -> Release:
    """The four downloads in one folder.

    Raises:
        ConversionError: one is missing, or there are several of `TinyGPT-V_for_Stage*.pth`.
    """
    missing = [name for name in (f"{PHI}/config.json", EVA, BLIP2) if not (folder / name).is_file()]
    if missing:
        raise ConversionError(
            f"{folder}: {', '.join(missing)} not found; TinyGPT-V needs {PHI}/, {EVA}, {BLIP2} and {TRAINED} in one folder"
        )
    files = sorted(folder.glob(TRAINED))
    if len(files) != 1:
        names = ", ".join(path.name for path in files)
        raise ConversionError(f"{folder}: {names or 'no ' + TRAINED}; one stage has to be there, and no other")
    names_of, read = open_weights(files[0], "model")
    return Release(folder, files[0], {_plain_name(name): read(name) for name in names_of if not BUFFERS.match(name)})


def shapes(release: Release) -> dict[str, torch.Size]:
    """Shapes of everything that is stored, by name, before LoRA is merged."""
    found: dict[str, torch.Size] = {}
    for path, part, prefix in _files(release):
        names, read = open_weights(path, part)
        found |= {prefix + name: read(name).shape for name in names}
    return found | {name: tensor.shape for name, tensor in release.trained.items()}


def tensors(
    release: Release, wanted: Container[str], heads: int, lora_alpha: float
) -> Iterator[tuple[Path, str, torch.Tensor]]:
    """Every tensor with the file it comes from; those that LoRA changes are merged, in float32.

    Args:
        release: the files.
        wanted: names that are taken from the tower's and BLIP-2's files, which hold more than is used.
        heads: of the language model's attention.
        lora_alpha: LoRA's factor is this divided by its rank.

    Raises:
        ConversionError: LoRA weights of a layer that Phi's files do not have.
    """
    lora = {match[1] for name in release.trained if (match := LORA.match(name))}
    merged = set()
    for path, part, prefix in _files(release):
        for name, tensor in iterate_tensors(path, part):
            name = prefix + name
            if name in release.trained or BUFFERS.match(name) or (path.suffix == ".pth" and name not in wanted):
                continue
            module, rows = _lora_module(name, tensor, heads)
            if module in lora:
                tensor = tensor.float() + _lora_change(release.trained, module, lora_alpha)[rows]
                merged.add(module)
            yield path, name, tensor
    if lora - merged:
        raise ConversionError(f"{release.trained_file}: LoRA of {min(lora - merged)}, which {PHI} does not have")
    for name, tensor in release.trained.items():
        if not LORA.match(name):
            yield release.trained_file, name, tensor


def with_zero_biases(stream: Iterable[tuple[Path, str, torch.Tensor]]) -> Iterator[tuple[Path, str, torch.Tensor]]:
    """The stream, and the biases that no file holds: of the tower's keys, and of the norms on queries and keys."""
    for path, name, tensor in stream:
        yield path, name, tensor
        for pattern, bias in NEVER_STORED:
            if re.search(pattern, name):
                yield path, re.sub(pattern, bias, name), torch.zeros_like(tensor)


def head_rows(rows: int, heads: int, part: str) -> torch.Tensor:
    """Which of `3 * rows` rows of a fused projection are the queries' ("q"), keys' or values': [head][q, k, v][size]."""
    return torch.arange(3 * rows).view(heads, 3, -1)[:, "qkv".index(part)].flatten()


def _files(release: Release) -> Iterator[tuple[Path, str | None, str]]:
    """File, key of its tensors inside, and what precedes their names."""
    for path in weight_files(release.folder / PHI):
        yield path, None, ""
    yield release.folder / EVA, None, TOWER
    yield release.folder / BLIP2, "model", ""


def _plain_name(name: str) -> str:
    """As Phi's files name it: LoRA wraps the model twice."""
    return re.sub(r"^llama_model\.(base_model\.model\.)?", "", name)


def _lora_module(name: str, tensor: torch.Tensor, heads: int) -> tuple[str, torch.Tensor | slice]:
    """The module whose LoRA changes a tensor, and the rows of the change: today's Phi-2 has queries, keys, values apart."""
    module, _, kind = name.rpartition(".")
    if kind != "weight":
        return "", slice(None)
    match = QKV.match(module)
    return (f"{match[1]}.query_key_value", head_rows(len(tensor), heads, match[2])) if match else (module, slice(None))


def _lora_change(trained: dict[str, torch.Tensor], module: str, alpha: float) -> torch.Tensor:
    """alpha / r * B @ A of a module, float32."""
    a, b = ({m[2]: t for n, t in trained.items() if (m := LORA.match(n)) and m[1] == module}[part] for part in "AB")
    return alpha / len(a) * (b.float() @ a.float())
