"""LLaVA-Phi (arXiv 2401.02330) as a dense model of ours: a key map, streamed and verified.

Its language model is Phi-2 with the bias of its head, which MoE-LLaVA drops; tower and projector are LLaVA-1.5's.
Source of names, sizes and prompt: zhuyiche/llava-phi @0fccdb8b, `llava_arch.py`, `clip_encoder.py`, `conversation.py`;
its transformers, 4.36.2, has queries, keys and values in one tensor, head by head.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import CLIPVisionConfig, GenerationConfig, PreTrainedTokenizerBase

from moellava.chat_template import chat_template
from moellava.configuration import MoELlavaConfig
from moellava.convert.families import FAMILIES, Origin, origins, text_config
from moellava.convert.plan import Assembler, plan_of
from moellava.convert.source import blame, iterate_tensors, open_weights, read_config, weight_files
from moellava.convert.tokenizer import IMAGE_TOKEN, load_tokenizer
from moellava.convert.tower import Tower
from moellava.convert.writer import ShardWriter, whole_folder
from moellava.modeling import MoELlavaForConditionalGeneration
from moellava.peers.tinygpt_v.source import head_rows
from moellava.processing import MoELlavaProcessor

__all__ = ["convert", "is_source"]

SHARD_BYTES = 1 << 30
CODEBASE = "llava-phi"
FAMILY = FAMILIES["phi"]
TOWER = "model.vision_tower."
PROJECTOR = "model.mm_projector."
LEFT_OUT = re.compile(r"(.*\.)?(rotary_emb\.inv_freq|position_ids)$")  # buffers
END = "<|endoftext|>"


def is_source(folder: Path) -> bool:
    """Whether a folder is a LLaVA-Phi checkpoint: MoE-LLaVA's `llava_phi` has no `vision_config`."""
    if not (folder / "config.json").is_file():
        return False
    config = read_config(folder)
    return config.get("model_type") == "llava_phi" and "vision_tower" in (config.get("vision_config") or {})


def convert(source: Path, out: Path, *, progress: bool = False) -> Path:
    """Convert a folder with `config.json`, `preprocessor_config.json`, tokenizer and weights.

    Values keep their dtype, bit for bit.

    Raises:
        ConversionError: anything wrong with the source, naming file and key; `out` is not created then.
    """
    config = read_config(source)
    files = weight_files(source)
    tokenizer, _ = load_tokenizer(source, config)
    with blame(source / "config.json"):
        vision = CLIPVisionConfig(**_known(config["vision_config"]["vision_tower"]))
        tower = Tower(vision, source, [], TOWER)
        model_config = _model_config(config, tower, tokenizer)
        with torch.device("meta"):
            shapes = {name: t.shape for name, t in MoELlavaForConditionalGeneration(model_config).state_dict().items()}
    fused = any(name.endswith(".query_key_value.weight") for path in files for name in open_weights(path)[0])
    heads = model_config.text_config.num_attention_heads if fused else None
    plan = plan_of(shapes, lambda target, shape: _origins(target, shape, heads, tower.prefix))
    with whole_folder(out) as folder:
        writer = ShardWriter(folder, SHARD_BYTES)
        assembler = Assembler(plan, shapes, writer.add)
        stream = ((path, *named) for path in files for named in iterate_tensors(path) if not LEFT_OUT.match(named[0]))
        for path, name, tensor in tqdm(stream, f"convert to {out.name}", len(plan), disable=not progress):
            assembler.add(name, tensor, path)
            model_config.dtype = tensor.dtype
        assembler.check_complete(source)
        writer.finish()
        model_config.architectures = [MoELlavaForConditionalGeneration.__name__]
        model_config.save_pretrained(folder)
        end = tokenizer.convert_tokens_to_ids(END)
        GenerationConfig(do_sample=False, eos_token_id=end, pad_token_id=end).save_pretrained(folder)
        _processor(config, tokenizer, tower).save_pretrained(folder)
    return out


def _known(values: dict) -> dict:
    """What transformers' class of the tower knows of its configuration, which has keys of LLaVA-Phi's own."""
    known = CLIPVisionConfig().to_dict().keys() - {"model_type"}
    return {name: value for name, value in values.items() if name in known}


def _model_config(config: dict, tower: Tower, tokenizer: PreTrainedTokenizerBase) -> MoELlavaConfig:
    own = config["vision_config"]
    projector = own["mm_projector"].get("mm_projector_type", "linear")
    features = own["vision_tower"].get("mm_vision_select_feature", "patch")
    if projector != "mlp2x_gelu" or features != "patch":
        raise ValueError(f"projector {projector!r} on {features!r} is not supported, only 'mlp2x_gelu' on 'patch'")
    return MoELlavaConfig(
        text_config=text_config(config, FAMILY),
        vision_config=tower.config,
        image_token_index=tokenizer.get_vocab()[IMAGE_TOKEN],
        image_seq_length=tower.num_patches,
        vision_feature_layer=own["vision_tower"].get("mm_vision_select_layer", -2),
        vision_feature_select_strategy="default",
        projector_hidden_act="gelu",
        head_bias=True,
        codebase=CODEBASE,
    )


def _origins(target: str, shape: tuple[int, ...], fused_heads: int | None, tower: str) -> Iterator[Origin]:
    """Where a tensor of ours comes from; `fused_heads`: of the language model, if its q, k, v are one tensor."""
    projection = re.match(r"model\.language_model\.(.*\.self_attn\.)([qkv])_proj\.(.*)", target)
    if projection and fused_heads:
        rows = head_rows(shape[0], fused_heads, projection[2])
        yield Origin(f"model.{projection[1]}query_key_value.{projection[3]}", (rows,))
    else:
        yield from origins(target, shape, FAMILY, PROJECTOR, tower)


def _processor(config: dict, tokenizer: PreTrainedTokenizerBase, tower: Tower) -> MoELlavaProcessor:
    if tokenizer.pad_token is None:
        tokenizer.pad_token = END
    return MoELlavaProcessor(
        image_processor=tower.image_processor(pad=config.get("image_aspect_ratio") == "pad"),
        tokenizer=tokenizer,
        patch_size=tower.config.patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=tower.num_class_tokens,
        chat_template=chat_template(END),
    )
