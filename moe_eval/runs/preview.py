"""A plan in words, before anything is fetched: `moe-eval run --plan`. It fetches nothing but sizes, and loads no weights."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from moe_eval.errors import UserError
from moe_eval.runs.plan import Plan

if TYPE_CHECKING:
    from moe_eval.engine.models import ModelSource
    from moe_eval.engine.named import Source

__all__ = ["preview"]


def preview(model: "Source", plans: Sequence[Plan], batch_size: int | None = None) -> str:
    """Model, data, where both come from and go to, memory, and how many questions; what is missing is named.

    Args:
        model: the `moe_eval.engine.named.Source` that is going to answer.
        plans: of this model.
        batch_size: of `generate`; None where another engine makes its own batches.
    """
    from moe_eval.engine.models import ModelSource

    lines = [f"{model.name}: {model.whereabouts}"]
    if isinstance(model, ModelSource):
        lines.append(_memory(model, batch_size))
    for plan in plans:
        lines.append(f"  {plan.task.name}: {_questions(plan)}, protocol {plan.protocol_name} → {plan.folder}")
    lines.append("  the expected time is shown with the first answers")
    return "\n".join(lines)


def _memory(model: "ModelSource", batch_size: int | None) -> str:
    from moe_eval.machine.resources import available_memory, gpu_memory

    try:
        size, device, dtype = model.weight_bytes, model.torch_device, model.torch_dtype
        there = gpu_memory()[0] if device.type == "cuda" else available_memory()
        enough = "" if size <= there else ": too little"
        batches = f", batches of {batch_size}" if batch_size else ""
        return (
            f"  {str(dtype).removeprefix('torch.')} on {device}{batches}; weights take {size / 1e9:.2f} GB of "
            f"{there / 1e9:.1f} GB of memory{enough}"
        )
    except UserError as error:
        return f"  device, dtype and memory cannot be told before its configuration is here: {_one_line(error)}"


def _questions(plan: Plan) -> str:
    from moe_eval.sources.hub import NotInCacheError, bytes_on_hub, only_cached

    try:
        with only_cached():
            dataset = plan.dataset
    except NotInCacheError as missing:
        size = bytes_on_hub("dataset", missing.repository, missing.revision, missing.pattern)
        amount = f"{size / 1e9:.2f} GB" if size is not None else "how much, the hub cannot be asked,"
        return (
            f"--data {plan.source}: {amount} to be downloaded from {missing.repository} into {missing.cache} "
            f"({plan.task.card.size})"
        )
    except UserError as error:
        return f"--data {plan.source}: {_one_line(error)}"
    return f"{len(dataset.samples):,} questions of {dataset.source}, here already"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
