"""Which tensors of a sparse model tensor and expert parallelism cut, and where.

transformers' plan of a backbone names its dense feed-forward layers. Where those have become mixtures, the experts' own
rules take their place: under tensor parallelism every rank holds a slice of every expert, under expert parallelism
(`DistributedConfig(ep_size=...)`) whole experts. Routers are whole on every rank.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from transformers import PreTrainedModel
from transformers.integrations.tensor_parallel import (
    ALL_PARALLEL_STYLES,
    MoeExpertsParallel,
    replace_layer_number_by_wildcard,
)

from moellava.moe import SparseMoeBlock

__all__ = ["fit_parallel_plans"]

# Rows of the first projection and columns of the second; "packed" where the rows are gate and up, one below the other.
TENSOR_PARALLEL = {
    "gate_up_proj": "packed_colwise",
    "gate_up_proj_bias": "packed_rowwise",
    "up_proj": "colwise",
    "up_proj_bias": "rowwise",
    "down_proj": "rowwise",
}


class ExpertsWithBiasParallel(MoeExpertsParallel):
    """transformers' style for experts, with a bias after the second projection, which must be added once.

    Every rank's slice gives a part of the sum, and each adds the whole bias; so each gets its share of it.
    """

    @contextmanager
    def context_around_forward(self, module: nn.Module, mesh: DeviceMesh) -> Iterator[None]:
        with super().context_around_forward(module, mesh):
            bias = module._parameters["down_proj_bias"]
            assert bias is not None
            # In value bias / ranks; its gradient is the whole one on every rank, as that of all that is not cut.
            module._parameters["down_proj_bias"] = bias - bias.detach() * (1 - 1 / mesh.size())  # type: ignore[assignment]
            try:
                yield
            finally:
                module._parameters["down_proj_bias"] = bias


ALL_PARALLEL_STYLES.register("moe_tp_experts_with_bias", ExpertsWithBiasParallel())  # type: ignore[arg-type]


def fit_parallel_plans(language_model: PreTrainedModel) -> None:
    """Make the plans of a language model name what is in it: no layer that was replaced, and the experts that are there.

    Args:
        language_model: the backbone, its sparse layers in place; a dense one keeps the plans that it has.
    """
    blocks = [module for module in language_model.modules() if isinstance(module, SparseMoeBlock)]
    if not blocks:
        return
    names = {
        replace_layer_number_by_wildcard(name)
        for name, _ in chain(language_model.named_modules(), language_model.named_parameters())
    }
    experts, parameters = "layers.*.mlp.experts", dict(blocks[0].experts.named_parameters())
    tp_plan = {rule: style for rule, style in (language_model._tp_plan or {}).items() if rule in names}
    tp_plan |= {f"{experts}.{name}": TENSOR_PARALLEL[name] for name in parameters if name in TENSOR_PARALLEL}
    tp_plan[experts] = "moe_tp_experts_with_bias" if blocks[0].experts.has_bias else "moe_tp_experts"
    language_model._tp_plan = tp_plan
    language_model._ep_plan = {f"{experts}.{name}": "grouped_gemm" for name in parameters} | {
        experts: "ep_dispatch_experts"
    }
