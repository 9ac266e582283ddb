"""Configuration of a MoE-LLaVA model: transformers' Llava plus one block, `moe`, that names the sparse layers."""

from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from transformers import LlavaConfig, PreTrainedConfig

from moellava.subconfigs import as_config

__all__ = ["MoEConfig", "MoELlavaConfig"]

UPSTREAM_TOWER_KEYS = ("mm_image_tower", "mm_vision_tower")


@strict
class MoEConfig(PreTrainedConfig):
    """Which decoder layers are sparse, and how they route.

    Args:
        layers: indices of the sparse decoder layers. Empty: a dense model.
        num_experts: experts per sparse layer, one number for all or one per entry of `layers`.
        top_k: experts per token.
        drop_tokens: give every expert `ceil(tokens / num_experts * top_k * factor)` places per forward pass and drop
            the choices that find none, padding rows included, as DeepSpeed 0.9.5 does. Off: no token is dropped, and
            an answer depends on nothing but its own prompt.
        capacity_factor, eval_capacity_factor, min_capacity: for `drop_tokens`: the factor while training and
            otherwise, and the fewest places per expert.
        second_choice: "argmax" is deterministic; "gumbel" draws the second expert as DeepSpeed's `top2gating` does, at
            evaluation too. See `moellava.enable_router_noise` for a seed.
        router_aux_loss_coef: weight of the balancing loss in the training loss.
        count_padding: whether padding rows enter the balancing loss, as they do in DeepSpeed.
    """

    model_type = "moe_llava_moe"
    base_config_key = "moe"

    layers: list[int] | tuple[int, ...] = ()
    num_experts: int | list[int] = 4
    top_k: int = 2
    drop_tokens: bool = False
    capacity_factor: float = 1.5
    eval_capacity_factor: float = 2.0
    min_capacity: int = 0
    second_choice: Literal["argmax", "gumbel"] = "argmax"
    router_aux_loss_coef: float = 0.01
    count_padding: bool = False

    def __post_init__(self, **kwargs: Any):
        super().__post_init__(**kwargs)
        self.layers = [int(layer) for layer in self.layers]
        if len(set(self.layers)) != len(self.layers):
            raise ValueError(f"moe.layers names a layer twice: {self.layers}")
        if not isinstance(self.num_experts, int) and len(self.num_experts) != len(self.layers):
            raise ValueError(f"moe.num_experts must be one number or one per layer: {self.num_experts}, {self.layers}")
        if self.layers and not 1 <= self.top_k <= min(self.experts_per_layer().values()):
            raise ValueError(f"moe.top_k is {self.top_k}; it must lie between 1 and num_experts ({self.num_experts})")

    def experts_per_layer(self) -> dict[int, int]:
        """Number of experts of each sparse layer, by layer index."""
        counts = [self.num_experts] * len(self.layers) if isinstance(self.num_experts, int) else self.num_experts
        return dict(zip(self.layers, counts, strict=True))


@strict
class MoELlavaConfig(LlavaConfig):
    """A Llava configuration with a `moe` block ([`MoEConfig`], or a dict of its arguments; absent means dense).

    `image_token_index` may lie beyond the embedding table: picture features take its place, and some upstream
    vocabularies have no row to spare. `head_bias`: whether the language-modelling head has a bias, as Phi's has and
    MoE-LLaVA's has not. `codebase` is where the checkpoint was trained ("moe-llava", "llava", "llava-phi"),
    which differ in how they prepare pictures for some benchmarks. `output_router_logits`: every forward pass returns them,
    and the balancing loss.

    Raises:
        ValueError: a sparse layer that the language model does not have; on `from_pretrained`, a folder in the
            upstream format, which has to be converted first.
    """

    model_type = "moe_llava"
    sub_configs: ClassVar = {**LlavaConfig.sub_configs, "moe": MoEConfig}

    # Dictionaries or configurations when they are given, configurations from then on.
    text_config: Any = None
    vision_config: Any = None
    moe: Any = None
    head_bias: bool = False
    codebase: str | None = None
    output_router_logits: bool = False

    def __post_init__(self, **kwargs: Any):
        self.moe = as_config(self.moe, MoEConfig)
        super().__post_init__(**kwargs)
        beyond = [layer for layer in self.moe.layers if not 0 <= layer < self.text_config.num_hidden_layers]
        if beyond:
            raise ValueError(
                f"moe.layers names {beyond}; there are {self.text_config.num_hidden_layers} layers, from 0"
            )

    @classmethod
    def default_config_fields(cls):
        """Also of `moe`: transformers from 5.20 on leaves out of `config.json` what every configuration has."""
        return {**super().default_config_fields(), "moe": {}}

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs):
        config_dict, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        if any(key in config_dict for key in UPSTREAM_TOWER_KEYS):
            raise ValueError(
                f"{pretrained_model_name_or_path} is in the upstream format ({config_dict.get('model_type')}); "
                f"convert it first: moellava convert {pretrained_model_name_or_path} OUT"
            )
        return config_dict, kwargs
