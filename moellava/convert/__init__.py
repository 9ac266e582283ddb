"""From a checkpoint in the upstream format to one of ours: streaming, verified, safe.

The new model's state dict, laid out on the meta device, is the plan: each of its tensors names the upstream tensors it
comes from (`families.origins`). Source files are then read once, shard by shard; every source tensor must be in the
plan or on the short list of things to leave out, and every tensor of the plan must have come by at the end.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import GenerationConfig, PreTrainedTokenizerBase

from moellava.chat_template import chat_template
from moellava.configuration import MoELlavaConfig
from moellava.convert.families import Family, family_of, moe_config, text_config
from moellava.convert.plan import Assembler, make_plan
from moellava.convert.source import (
    PROJECTOR_ONLY,
    ConversionError,
    blame,
    iterate_tensors,
    open_weights,
    read_config,
    weight_files,
)
from moellava.convert.tokenizer import IMAGE_TOKEN, load_tokenizer
from moellava.convert.tower import Tower, find_tower
from moellava.convert.writer import ShardWriter, check_free, whole_folder
from moellava.processing import MoELlavaProcessor

__all__ = ["ConversionError", "convert"]

SHARD_BYTES = 1 << 30

# Buffers of old exports, and the head bias of a plain Phi-2, which upstream drops when stage 1 starts.
LEFT_OUT = re.compile(r"(.*\.)?(rotary_emb\.inv_freq|position_ids)$|^lm_head\.bias$")
# What a full CLIP or SigLIP holds beside its vision model.
NOT_VISION = re.compile(r"text_model\.|(visual|text)_projection\.|logit_(scale|bias)$")


def convert(source: Path, out: Path, *, base: Path | None = None, progress: bool = False) -> Path:
    """Convert an upstream checkpoint folder into one that the Auto classes load.

    The compared systems are recognised and left to `moellava.peers`. Values keep their dtype, bit for bit. The vision tower is the one that the configuration names, if its folder lies
    beside the checkpoint, as upstream loads it; else the copy inside the checkpoint; else it is fetched from the hub.

    Args:
        source: upstream folder, MoE or dense (`zoo.fetch_source` brings one from the hub).
        out: folder to create.
        base: folder of the language model, for a stage-1 checkpoint, which holds the projector only.
        progress: show a progress bar on stderr.

    Returns:
        `out`, which holds the model, its tokenizer, chat template, processor and generation settings.

    Raises:
        ConversionError: anything wrong with the source, naming file and key; `out` is not created then.
    """
    from moellava.peers.convert import converter_of  # built on this package's modules

    check_free(out)
    convert_peer = converter_of(source)
    if convert_peer is not None:
        if base is not None:
            raise ConversionError(
                f"{source}: holds a whole model; --base is for stage-1 checkpoints ({PROJECTOR_ONLY})"
            )
        return convert_peer(source, out, progress=progress)
    config = read_config(source)
    family = family_of(config, source)
    files = _language_model_files(source, base)
    names = [name for path in files for name in open_weights(path)[0]]
    tower = find_tower(source, config, names)
    tokenizer, num_logits = load_tokenizer(base or source, config)
    with blame(source / "config.json"):
        model_config = _model_config(config, family, tower, tokenizer)
        plan, shapes = make_plan(model_config, family, names, tower.prefix)
    with whole_folder(out) as folder:
        writer = ShardWriter(folder, SHARD_BYTES)
        assembler = Assembler(plan, shapes, writer.add)
        tensors = _tensors(files, tower, tied=model_config.tie_word_embeddings)
        for path, name, tensor in tqdm(tensors, f"convert to {out.name}", len(plan), disable=not progress):
            assembler.add(name, tensor, path)
            if name == "lm_head.weight" or model_config.dtype is None:
                model_config.dtype = tensor.dtype
        assembler.check_complete(source)
        writer.finish()
        model_config.architectures = ["MoELlavaForConditionalGeneration"]
        model_config.save_pretrained(folder)
        end = _end_marker(family, tokenizer)
        _generation_config(config, tokenizer, end, num_logits, model_config).save_pretrained(folder)
        _processor(config, tokenizer, end, tower).save_pretrained(folder)
    return out


def _language_model_files(source: Path, base: Path | None) -> list[Path]:
    stage_1 = (source / PROJECTOR_ONLY).exists() and not [
        *source.glob("model*.safetensors"),
        *source.glob("pytorch*.bin"),
    ]
    if stage_1 and base is None:
        raise ConversionError(f"{source}: stage 1 saves the projector only; name its language model with --base FOLDER")
    if base is not None and not stage_1:
        raise ConversionError(f"{source}: holds a whole model; --base is for stage-1 checkpoints ({PROJECTOR_ONLY})")
    return [*weight_files(base), source / PROJECTOR_ONLY] if base else weight_files(source)


def _tensors(files: list[Path], tower: Tower, tied: bool) -> Iterator[tuple[Path, str, torch.Tensor]]:
    """Everything that has to find its place, with the file it comes from."""
    for path in files:
        for name, tensor in iterate_tensors(path):
            unused_copy = tower.files and tower.copy_prefix and name.startswith(tower.copy_prefix)
            if not (unused_copy or LEFT_OUT.match(name) or (tied and name == "lm_head.weight")):
                yield path, name, tensor
    for path in tower.files:
        for name, tensor in iterate_tensors(path):
            if not (NOT_VISION.match(name) or LEFT_OUT.match(name)):
                yield path, tower.prefix + name.removeprefix("vision_model."), tensor


def _model_config(config: dict, family: Family, tower: Tower, tokenizer: PreTrainedTokenizerBase) -> MoELlavaConfig:
    projector = config.get("image_projector_type", config.get("mm_projector_type", "linear"))
    features = config.get("mm_vision_select_feature", "patch")
    if projector != "mlp2x_gelu" or features != "patch":
        raise ValueError(f"projector {projector!r} on {features!r} is not supported, only 'mlp2x_gelu' on 'patch'")
    return MoELlavaConfig(
        text_config=text_config(config, family),
        vision_config=tower.config,
        moe=moe_config(config),
        image_token_index=tokenizer.get_vocab()[IMAGE_TOKEN],
        image_seq_length=tower.num_patches,
        vision_feature_layer=config.get("mm_vision_select_layer", -2),
        vision_feature_select_strategy="default",
        projector_hidden_act="gelu",
        codebase="moe-llava" if "mm_image_tower" in config else "llava",
    )


def _end_marker(family: Family, tokenizer: PreTrainedTokenizerBase) -> str:
    known = [marker for marker in family.end if marker in tokenizer.get_vocab()]
    if not known:
        raise ConversionError(f"the tokenizer has none of the end markers {', '.join(family.end)}")
    return known[0]


def _generation_config(
    config: dict, tokenizer: PreTrainedTokenizerBase, end: str, num_logits: int, model_config: MoELlavaConfig
) -> GenerationConfig:
    """Greedy decoding up to an end marker; ids that upstream cuts off the vocabulary never come out."""
    configured = config.get("eos_token_id")
    eos = [configured] if isinstance(configured, int) else configured or []
    eos_token_id = list(dict.fromkeys([tokenizer.convert_tokens_to_ids(end), *eos]))
    return GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=eos_token_id,
        pad_token_id=eos_token_id[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
        suppress_tokens=list(range(num_logits, model_config.text_config.vocab_size)) or None,
    )


def _processor(config: dict, tokenizer: PreTrainedTokenizerBase, end: str, tower: Tower) -> MoELlavaProcessor:
    if tokenizer.pad_token is None:
        tokenizer.pad_token = end
    return MoELlavaProcessor(
        image_processor=tower.image_processor(pad=config.get("image_aspect_ratio") == "pad"),
        tokenizer=tokenizer,
        patch_size=tower.config.patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=tower.num_class_tokens,
        chat_template=chat_template(end),
    )
