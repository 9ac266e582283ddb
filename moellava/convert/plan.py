"""Which source tensor fills which part of the new model, and the assembly of the new tensors from their parts."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from moellava.configuration import MoELlavaConfig
from moellava.convert.families import Family, Origin, origins
from moellava.convert.source import ConversionError
from moellava.modeling import MoELlavaForConditionalGeneration

__all__ = ["Assembler", "make_plan", "plan_of"]

Plan = dict[str, list[tuple[str, Origin]]]


def make_plan(
    config: MoELlavaConfig, family: Family, names: Iterable[str], tower_prefix: str
) -> tuple[Plan, dict[str, torch.Size]]:
    """Source name -> the tensors of ours that it (partly) fills; and the shapes of ours, from the meta device."""
    with torch.device("meta"):
        shapes = {name: t.shape for name, t in MoELlavaForConditionalGeneration(config).state_dict().items()}
    if config.tie_word_embeddings:
        shapes.pop("lm_head.weight")
    nested = any(".mm_projector.image_spatial_proj." in name for name in names)  # MoE-LLaVA, not LLaVA
    projector = family.prefix + ("mm_projector.image_spatial_proj." if nested else "mm_projector.")
    return plan_of(shapes, lambda target, shape: origins(target, shape, family, projector, tower_prefix)), shapes


def plan_of(shapes: dict[str, torch.Size], origins_of: Callable[[str, tuple[int, ...]], Iterable[Origin]]) -> Plan:
    """Source name -> the tensors of ours that it (partly) fills, given where each of ours comes from."""
    plan: Plan = defaultdict(list)
    for target, shape in shapes.items():
        for origin in origins_of(target, tuple(shape)):
            plan[origin.source].append((target, origin))
    return dict(plan)


class Assembler:
    """Takes source tensors in any order and passes each tensor of ours on as soon as all its parts have come."""

    def __init__(self, plan: Plan, shapes: dict[str, torch.Size], emit: Callable[[str, torch.Tensor], None]):
        self.plan, self.shapes, self.emit = plan, shapes, emit
        self._seen: dict[str, Path] = {}
        self._partial: dict[str, tuple[torch.Tensor, int]] = {}

    def add(self, name: str, tensor: torch.Tensor, path: Path) -> None:
        """Place one source tensor.

        Raises:
            ConversionError: a name that is not in the plan or comes twice, or a wrong shape.
        """
        if name not in self.plan:
            raise ConversionError(
                f"{path}: unexpected key {name!r}; the model that config.json describes has none such"
            )
        if name in self._seen:
            raise ConversionError(f"{path}: key {name!r} came already, from {self._seen[name].name}")
        self._seen[name] = path
        self._check_shape(name, tensor, path)
        for target, origin in self.plan[name]:
            partial = self._partial.get(target)
            if partial and partial[0].dtype != tensor.dtype:
                raise ConversionError(f"{path}: key {name!r} is {tensor.dtype}, but its neighbours {partial[0].dtype}")
            self._place(target, origin, tensor)

    def _check_shape(self, name: str, tensor: torch.Tensor, path: Path) -> None:
        parts = [torch.empty(self.shapes[t], device="meta")[origin.target_index] for t, origin in self.plan[name]]
        expected = parts[0].shape if len(parts) == 1 else torch.cat(parts).shape
        if tensor.shape != expected:
            raise ConversionError(
                f"{path}: key {name!r} has shape {list(tensor.shape)}, but config.json asks for {list(expected)}"
            )

    def _place(self, target: str, origin: Origin, tensor: torch.Tensor) -> None:
        part, shape = tensor[origin.source_index], self.shapes[target]
        if part.shape == shape:
            self.emit(target, part.clone())
            return
        whole, filled = self._partial.pop(target, (None, 0))
        whole = torch.empty(shape, dtype=tensor.dtype) if whole is None else whole
        whole[origin.target_index] = part
        filled += part.numel()
        if filled == whole.numel():
            self.emit(target, whole)
        else:
            self._partial[target] = (whole, filled)

    def check_complete(self, source: Path) -> None:
        """Raises ConversionError, naming the keys, when part of the plan has not come."""
        missing = [name for name in self.plan if name not in self._seen]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise ConversionError(
                f"{source}: missing key {', '.join(missing[:3])}{more}; the checkpoint is incomplete, or its "
                "config.json belongs to another one"
            )
