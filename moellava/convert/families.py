"""What differs between upstream's backbones: their configuration keys and the names of their tensors.

A backbone is one entry of `FAMILIES`. Its key map leads from our names to upstream's, so that the conversion can say
of every tensor of the new model where it comes from.

Source: spec/checkpoints.md sections 1 and 2.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from moellava.configuration import MoEConfig
from moellava.convert.source import ConversionError

__all__ = ["FAMILIES", "Family", "Origin", "family_of", "moe_config", "origins", "text_config"]


@dataclass(frozen=True)
class Family:
    """One upstream backbone.

    Args:
        text_model_type: transformers' model type of the language model.
        end: stop string and end marker of the conversation template, in order of preference: the first that the
            tokenizer knows.
        config_names: upstream configuration key -> transformers' key, where they differ.
        prefix: of every language-model tensor but the head.
        tensor_names: our name -> upstream's, as (pattern, replacement), applied in order to the name after the prefix.
    """

    text_model_type: str
    end: tuple[str, ...]
    config_names: Mapping[str, str] = field(default_factory=dict)
    prefix: str = "model."
    tensor_names: tuple[tuple[str, str], ...] = ()


FAMILIES = {
    "phi": Family("phi", end=("<|endoftext|>",)),
    "stablelm": Family(
        "stablelm",
        end=("<|endoftext|>",),
        config_names={"rope_pct": "partial_rotary_factor", "norm_eps": "layer_norm_eps"},
    ),
    "qwen": Family(
        "qwen2",
        end=("<|endoftext|>",),
        config_names={"layer_norm_epsilon": "rms_norm_eps", "rotary_emb_base": "rope_theta"},
        prefix="transformer.",
        tensor_names=(
            (r"^embed_tokens\.", "wte."),
            (r"^norm\.", "ln_f."),
            (r"^layers\.", "h."),
            (r"\.input_layernorm\.", ".ln_1."),
            (r"\.post_attention_layernorm\.", ".ln_2."),
            (r"\.self_attn\.o_proj\.", ".attn.c_proj."),
            (r"\.self_attn\.[qkv]_proj\.", ".attn.c_attn."),
            (r"\bup_proj\.", "w1."),
            (r"\bgate_proj\.", "w2."),
            (r"\bdown_proj\.", "c_proj."),
        ),
    ),
    "qwen1_5": Family("qwen2", end=("<|endoftext|>",)),
    "mistral": Family("mistral", end=("<|end_of_turn|>", "</s>")),
    "llama": Family("llama", end=("</s>",)),
}


def family_of(config: Mapping, folder: object) -> Family:
    """The backbone of an upstream `config.json`.

    Raises:
        ConversionError: not an upstream checkpoint, an unknown backbone, or MiniCPM.
    """
    model_type = config.get("model_type", "")
    if not any(key in config for key in ("mm_image_tower", "mm_vision_tower")):
        raise ConversionError(
            f"{folder}/config.json: model_type {model_type!r} names no vision tower (mm_image_tower, mm_vision_tower); "
            "this is not a LLaVA or MoE-LLaVA checkpoint in the upstream format"
        )
    name = "llama" if model_type == "llava" else re.sub(r"^(moe_)?llava_", "", model_type)
    if name == "minicpm":
        raise ConversionError(
            f"{folder}: MiniCPM is not supported: no checkpoint was published, and upstream scales its embeddings in "
            "text prompts but not in prompts with a picture, so there is no one model to convert to"
        )
    if name not in FAMILIES:
        raise ConversionError(f"{folder}/config.json: unknown model_type {model_type!r}; known are llava_ and moe_llava_ with {', '.join(FAMILIES)}")
    return FAMILIES[name]


def text_config(config: Mapping, family: Family) -> PreTrainedConfig:
    """The language model's configuration: every upstream key that transformers' class knows, renamed where needed."""
    config_class = CONFIG_MAPPING[family.text_model_type]
    known = {f.name for f in fields(config_class)} - {f.name for f in fields(PreTrainedConfig)}
    known |= {"rope_theta", "rope_scaling", "partial_rotary_factor", "bos_token_id", "eos_token_id", "tie_word_embeddings"}
    renamed = {family.config_names.get(key, key): value for key, value in config.items()}
    values = {key: value for key, value in renamed.items() if key in known and value is not None}
    if family is FAMILIES["qwen"]:
        values["intermediate_size"] = config["intermediate_size"] // 2  # upstream stores the width of w1 and w2 together
        values["num_key_value_heads"] = config["num_attention_heads"]
        values.setdefault("tie_word_embeddings", False)
        if config.get("rotary_pct", 1.0) != 1.0:
            raise ConversionError(f"config.json: rotary_pct {config['rotary_pct']} is not supported for Qwen, only 1.0")
    values["pad_token_id"] = None  # an embedding row of zeros in training only; padding is masked here
    rope = {"rope_type": "default", "rope_theta": values.pop("rope_theta", 10000.0)}
    if "partial_rotary_factor" in values:
        rope["partial_rotary_factor"] = values.pop("partial_rotary_factor")
    scaling = values.pop("rope_scaling", None) or {}
    rope |= {("rope_type" if key == "type" else key): value for key, value in scaling.items()}
    return config_class(**values, rope_parameters=rope)


def moe_config(config: Mapping) -> MoEConfig:
    """The `moe` block of an upstream configuration; no sparse layer for a dense checkpoint.

    Raises:
        ConversionError: residual experts, which nobody published.
    """
    moe = config.get("moe") or {}
    if not moe.get("moe_enable", bool(moe)):
        return MoEConfig()
    if moe.get("use_residual"):
        raise ConversionError("config.json: moe.use_residual is true; residual experts are not supported")
    layers, num_experts = moe["moe_layers_idx"], moe["num_experts"]
    per_layer = num_experts if isinstance(num_experts, list) else [num_experts]
    per_layer = per_layer * len(layers) if len(per_layer) == 1 else per_layer
    return MoEConfig(
        layers=layers,
        num_experts=per_layer[0] if len(set(per_layer)) == 1 else per_layer,
        top_k=moe["top_k_experts"],
        router_aux_loss_coef=moe.get("router_aux_loss_coef", 0.01),
        **{key: moe[key] for key in ("capacity_factor", "eval_capacity_factor", "min_capacity") if key in moe},
    )


class Origin(NamedTuple):
    """Where (a part of) a tensor of ours comes from: `target[target_index] = source[source_index]`."""

    source: str
    source_index: tuple
    target_index: tuple


WHOLE: tuple = (...,)


def origins(target: str, shape: tuple[int, ...], family: Family, projector: str, tower: str) -> Iterator[Origin]:
    """The upstream tensors that make up one tensor of ours.

    Args:
        target: name in our state dict.
        shape: its shape.
        family: the backbone.
        projector: prefix of the projector's tensors upstream.
        tower: prefix of the vision tower's tensors, up to and including `vision_model.`.
    """
    if target.startswith("model.vision_tower."):
        yield Origin(tower + target.removeprefix("model.vision_tower."), WHOLE, WHOLE)
    elif match := re.match(r"model\.multi_modal_projector\.linear_([12])\.(.*)", target):
        yield Origin(f"{projector}{2 * int(match[1]) - 2}.{match[2]}", WHOLE, WHOLE)
    elif not target.startswith("model.language_model."):
        yield Origin(target, WHOLE, WHOLE)  # lm_head
    else:
        name = target.removeprefix("model.language_model.")
        if match := re.match(r"(layers\.\d+\.mlp\.)experts\.(.*)", name):
            yield from _expert_origins(match[1], match[2], shape, family)
        elif name.endswith(".router.weight"):
            name = name.replace(".router.weight", ".deepspeed_moe.gate.wg.weight")
            yield Origin(_upstream_name(name, family), WHOLE, WHOLE)
        else:
            yield Origin(_upstream_name(name, family), _qkv_rows(name, shape, family), WHOLE)


def _upstream_name(name: str, family: Family) -> str:
    for pattern, replacement in family.tensor_names:
        name = re.sub(pattern, replacement, name)
    return family.prefix + name


def _expert_origins(layer: str, parameter: str, shape: tuple[int, ...], family: Family) -> Iterator[Origin]:
    """Rows of a stacked expert tensor: one upstream tensor per expert, two where gate and up are stored as one."""
    kind = "bias" if parameter.endswith("_bias") else "weight"
    stacked = parameter.removesuffix("_bias")
    phi = {"up_proj": ["fc1"], "down_proj": ["fc2"]}
    gated = {"gate_up_proj": ["gate_proj", "up_proj"], "down_proj": ["down_proj"]}
    names = (phi if family.text_model_type == "phi" else gated)[stacked]
    rows = shape[1] // len(names)
    for expert in range(shape[0]):
        for part, linear in enumerate(names):
            name = f"{layer}deepspeed_moe.experts.deepspeed_experts.{expert}.{linear}.{kind}"
            yield Origin(_upstream_name(name, family), WHOLE, (expert, slice(part * rows, (part + 1) * rows)))


def _qkv_rows(name: str, shape: tuple[int, ...], family: Family) -> tuple:
    """Qwen's fused attention input: queries, keys and values are three equal blocks of rows."""
    match = re.search(r"\.self_attn\.([qkv])_proj\.", name)
    if match is None or family is not FAMILIES["qwen"]:
        return WHOLE
    block = "qkv".index(match[1])
    return (slice(block * shape[0], (block + 1) * shape[0]),)
