"""What differs between upstream's backbones: their configuration keys and the names of their tensors.

A backbone is one entry of `FAMILIES`. Its key map leads from our names to upstream's, so that the conversion can say
of every tensor of the new model where it comes from. Source: spec/checkpoints.md sections 1 and 2.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from moellava.configuration import UPSTREAM_TOWER_KEYS, MoEConfig
from moellava.convert.source import ConversionError
from moellava.moe import GATED_LAYOUT, PLAIN_LAYOUT

__all__ = ["FAMILIES", "Family", "Origin", "family_of", "moe_config", "origins", "text_config"]


@dataclass(frozen=True)
class Family:
    """One upstream backbone.

    Args:
        text_model_type: transformers' model type of the language model.
        end: end marker of the conversation template; where there are several, the first that the tokenizer knows.
        config_names: upstream's configuration keys -> transformers', where they differ.
        prefix: of every language-model tensor but the head, and of projector and tower.
        tensor_names: (pattern, replacement), applied in order, from our name after the prefix to upstream's.
        layout: of the feed-forward layers.
        fused_qkv: whether queries, keys and values are three equal blocks of rows of one tensor.
    """

    text_model_type: str
    end: tuple[str, ...] = ("<|endoftext|>",)
    config_names: Mapping[str, str] = field(default_factory=dict)
    prefix: str = "model."
    tensor_names: tuple[tuple[str, str], ...] = ()
    layout: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: GATED_LAYOUT)
    fused_qkv: bool = False


QWEN_TENSOR_NAMES = (
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
)
FAMILIES = {
    "phi": Family("phi", layout=PLAIN_LAYOUT),
    "stablelm": Family("stablelm", config_names={"rope_pct": "partial_rotary_factor", "norm_eps": "layer_norm_eps"}),
    "qwen": Family(
        "qwen2",
        config_names={"layer_norm_epsilon": "rms_norm_eps", "rotary_emb_base": "rope_theta"},
        prefix="transformer.",
        tensor_names=QWEN_TENSOR_NAMES,
        fused_qkv=True,
    ),
    "qwen1_5": Family("qwen2"),
    "mistral": Family("mistral", end=("<|end_of_turn|>", "</s>")),
    "llama": Family("llama", end=("</s>",)),
}


def family_of(config: Mapping, folder: object) -> Family:
    """The backbone of an upstream `config.json`.

    Raises:
        ConversionError: not an upstream checkpoint, an unknown backbone, or MiniCPM.
    """
    model_type = config.get("model_type", "")
    if not any(key in config for key in UPSTREAM_TOWER_KEYS):
        raise ConversionError(
            f"{folder}/config.json: names no vision tower ({', '.join(UPSTREAM_TOWER_KEYS)}); model_type {model_type!r} "
            "is not a LLaVA or MoE-LLaVA checkpoint in the upstream format"
        )
    match = re.fullmatch(r"(?:moe_)?llava_(\w+)", str(model_type))
    name = match[1] if match else "llama" if model_type == "llava" else ""
    if name == "minicpm":
        raise ConversionError(
            f"{folder}: MiniCPM is not supported: no checkpoint was published, and upstream scales its embeddings in "
            "text prompts but not in prompts with a picture, so that there is no one model to convert to"
        )
    if name not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise ConversionError(
            f"{folder}/config.json: model_type {model_type!r} is not (moe_)llava_ with one of {known}"
        )
    return FAMILIES[name]


def text_config(config: Mapping, family: Family) -> PreTrainedConfig:
    """The language model's configuration: every upstream key that transformers' class knows, renamed where needed."""
    config_class = CONFIG_MAPPING[family.text_model_type]
    known = {f.name for f in fields(config_class)} - {f.name for f in fields(PreTrainedConfig)}
    renamed = {family.config_names.get(key, key): value for key, value in config.items() if value is not None}
    values = {key: value for key, value in renamed.items() if key in known}
    values["pad_token_id"] = None  # would only keep that row of the embedding from training
    if family.fused_qkv:
        values["intermediate_size"] //= 2  # upstream stores the width of w1 and w2 together
        values["num_key_value_heads"] = values["num_attention_heads"]
        if config.get("rotary_pct", 1.0) != 1.0:
            raise ValueError(f"rotary_pct {config['rotary_pct']} is not supported for Qwen, only 1.0")
    rope = {"rope_type": "default", "rope_theta": renamed.get("rope_theta", 10000.0)}
    if "partial_rotary_factor" in renamed:
        rope["partial_rotary_factor"] = renamed["partial_rotary_factor"]
    for key, value in renamed.get("rope_scaling", {}).items():
        rope["rope_type" if key == "type" else key] = value
    return config_class(**values | {"rope_parameters": rope})


def moe_config(config: Mapping) -> MoEConfig:
    """The `moe` block of an upstream configuration; no sparse layer for a dense checkpoint.

    Raises:
        ValueError: residual experts, which nobody published, or a key that is missing.
    """
    moe = config.get("moe") or {}
    if not moe.get("moe_enable", bool(moe)):
        return MoEConfig()
    missing = [key for key in ("moe_layers_idx", "num_experts", "top_k_experts") if moe.get(key) is None]
    if missing or moe.get("use_residual"):
        what = f"{', '.join(missing)} missing" if missing else "use_residual is true, which is not supported"
        raise ValueError(f"moe: {what}")
    experts = [moe["num_experts"]] if isinstance(moe["num_experts"], int) else moe["num_experts"]
    return MoEConfig(
        layers=moe["moe_layers_idx"],
        num_experts=experts[0] if len(set(experts)) == 1 else experts,
        top_k=moe["top_k_experts"],
        **{
            key: moe[key]
            for key in ("router_aux_loss_coef", "capacity_factor", "eval_capacity_factor", "min_capacity")
            if key in moe
        },
    )


WHOLE: tuple = (...,)


class Origin(NamedTuple):
    """Where (a part of) a tensor of ours comes from: `target[target_index] = source[source_index]`."""

    source: str
    source_index: tuple = WHOLE
    target_index: tuple = WHOLE


def origins(target: str, shape: tuple[int, ...], family: Family, projector: str, tower: str) -> Iterator[Origin]:
    """The upstream tensors that make up one tensor of ours.

    Args:
        target: name in our state dict.
        shape: its shape.
        family: the backbone.
        projector, tower: what precedes the names of the projector's and the vision tower's tensors upstream.
    """
    if target.startswith("model.vision_tower."):
        yield Origin(tower + target.removeprefix("model.vision_tower."))
    elif match := re.match(r"model\.multi_modal_projector\.linear_([12])\.(.*)", target):
        yield Origin(f"{projector}{2 * int(match[1]) - 2}.{match[2]}")
    elif not target.startswith("model.language_model."):
        yield Origin(target)  # lm_head
    else:
        name = target.removeprefix("model.language_model.").replace("router.weight", "deepspeed_moe.gate.wg.weight")
        if match := re.match(r"(layers\.\d+\.mlp\.)experts\.(.*?)(_bias)?$", name):
            linears = family.layout[match[2]]
            rows = shape[1] // len(linears)
            for expert in range(shape[0]):
                for part, linear in enumerate(linears):
                    name = f"{match[1]}deepspeed_moe.experts.deepspeed_experts.{expert}.{linear}."
                    source = _upstream_name(name, family) + ("bias" if match[3] else "weight")
                    yield Origin(source, WHOLE, (expert, slice(part * rows, (part + 1) * rows)))
        elif family.fused_qkv and (match := re.search(r"\.self_attn\.([qkv])_proj\.", name)):
            first = "qkv".index(match[1]) * shape[0]
            yield Origin(_upstream_name(name, family), (slice(first, first + shape[0]),))
        else:
            yield Origin(_upstream_name(name, family))


def _upstream_name(name: str, family: Family) -> str:
    for pattern, replacement in family.tensor_names:
        name = re.sub(pattern, replacement, name)
    return family.prefix + name
