"""TinyGPT-V's four downloads as one model of ours: streaming, verified, safe, with LoRA merged.

What training changed is float32, the rest keeps its dtype. No file of the release holds the sizes of the tower's and the
Q-Former's heads, LoRA's alpha or the picture size: they are those that the authors' code fixes, unless a
`dimensions.json` beside the files says otherwise. Source: spec/peer_models.md sections 2.1 to 2.3.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import Blip2QFormerConfig, Blip2VisionConfig, GenerationConfig, PreTrainedTokenizerBase

from moellava.convert.families import Family, Origin, text_config
from moellava.convert.plan import Assembler, plan_of
from moellava.convert.source import ConversionError, blame, read_config
from moellava.convert.tokenizer import load_tokenizer
from moellava.convert.writer import ShardWriter, whole_folder
from moellava.peers.positions import resize_table
from moellava.peers.processing import FixedRowsProcessor, stretching_image_processor
from moellava.peers.tinygpt_v.chat import IMAGE_TOKEN, TEMPLATE
from moellava.peers.tinygpt_v.configuration import TinyGPTVConfig, TinyGPTVTextConfig
from moellava.peers.tinygpt_v.modeling import TinyGPTVForConditionalGeneration
from moellava.peers.tinygpt_v.source import (
    PHI,
    TOWER,
    TRAINED,
    Release,
    find_release,
    head_rows,
    tensors,
    with_zero_biases,
)
from moellava.peers.tinygpt_v.source import shapes as stored_shapes

__all__ = ["convert", "is_source"]

SHARD_BYTES = 1 << 30
LORA_ALPHA = 16
VIT = {"depth": 39, "num_heads": 16}
QFORMER = {"num_attention_heads": 12, "layer_norm_eps": 1e-12, "cross_attention_freq": 2}
STAGE_4 = "TinyGPT-V_for_Stage4.pth"  # evaluated on larger pictures than the stages before
STOP = "###"
NAMES = (
    (r"^model\.vision_tower\.embeddings\.class_embedding$", "visual_encoder.cls_token"),
    (r"^model\.vision_tower\.embeddings\.position_embedding$", "visual_encoder.pos_embed"),
    (r"^model\.vision_tower\.embeddings\.patch_embedding\.", "visual_encoder.patch_embed.proj."),
    (r"^model\.vision_tower\.encoder\.layers\.", "visual_encoder.blocks."),
    (r"^model\.vision_tower\.post_layernorm\.", "ln_vision."),
    (r"(blocks\.\d+)\.layer_norm([12])\.", r"\1.norm\2."),
    (r"(blocks\.\d+)\.self_attn\.projection\.", r"\1.attn.proj."),
    (r"(blocks\.\d+)\.self_attn\.qkv\.", r"\1.attn.qkv."),
    (r"^model\.multi_modal_projector\.query_tokens$", "query_tokens"),
    (r"^model\.multi_modal_projector\.linear_1\.", "llama_proj."),
    (r"^model\.multi_modal_projector\.linear_2\.", "llama_proj2."),
    (r"^model\.multi_modal_projector\.qformer\.layernorm\.", "Qformer.bert.embeddings.LayerNorm."),
    (r"^model\.multi_modal_projector\.qformer\.", "Qformer.bert."),
    (r"(attention)\.attention\.", r"\1.self."),
    (r"^model\.language_model\.(layers\.\d+)\.self_attn\.post_layernorm\.", r"model.\1.post_layernorm."),
    (r"^model\.language_model\.", "model."),
)


def is_source(folder: Path) -> bool:
    """Whether a folder holds what TinyGPT-V's training left."""
    return any(folder.glob(TRAINED))


def convert(source: Path, out: Path, *, progress: bool = False) -> Path:
    """Convert a folder with `phi-2/`, `eva_vit_g.pth`, `blip2_pretrained_flant5xxl.pth`, `TinyGPT-V_for_Stage*.pth`.

    Raises:
        ConversionError: anything wrong with the source, naming file and key; `out` is not created then.
    """
    release = find_release(source)
    stored = stored_shapes(release)
    dimensions = _dimensions(source)
    tokenizer = load_tokenizer(source / PHI, {"mm_use_im_patch_token": False}, IMAGE_TOKEN)[0]
    with blame(source):
        config = _model_config(release, stored, dimensions, tokenizer)
        with torch.device("meta"):
            targets = {name: t.shape for name, t in TinyGPTVForConditionalGeneration(config).state_dict().items()}
    heads = config.text_config.num_attention_heads
    fused = any(name.endswith(".query_key_value.weight") for name in stored)
    plan = plan_of(targets, lambda target, shape: _origins(target, shape, heads if fused else None))
    with whole_folder(out) as folder:
        writer = ShardWriter(folder, SHARD_BYTES)
        assembler = Assembler(plan, targets, writer.add)
        stream = with_zero_biases(tensors(release, plan, heads, dimensions["lora_alpha"]))
        for path, name, tensor in tqdm(stream, f"convert to {out.name}", len(plan), disable=not progress):
            if name == f"{TOWER}pos_embed":
                tensor = _resized(tensor, targets["model.vision_tower.embeddings.position_embedding"][1])
            assembler.add(name, tensor, path)
        assembler.check_complete(source)
        writer.finish()
        config.dtype = torch.float32
        config.architectures = [TinyGPTVForConditionalGeneration.__name__]
        config.save_pretrained(folder)
        _generation_config(tokenizer).save_pretrained(folder)
        _processor(tokenizer, config).save_pretrained(folder)
    return out


def _dimensions(source: Path) -> dict[str, Any]:
    """What the authors' code fixes, with what `dimensions.json` says instead."""
    path = source / "dimensions.json"
    with blame(path, advice="; it is not JSON"):
        own = json.loads(path.read_text()) if path.exists() else {}
    fixed = {"lora_alpha": LORA_ALPHA, "image_size": 448 if (source / STAGE_4).exists() else 224}
    return {**fixed, **own, "vit": VIT | own.get("vit", {}), "qformer": QFORMER | own.get("qformer", {})}


def _model_config(
    release: Release, stored: dict[str, torch.Size], dimensions: dict[str, Any], tokenizer: PreTrainedTokenizerBase
) -> TinyGPTVConfig:
    """Widths from the weights, the rest from the dimensions and Phi's own configuration."""
    vit, qformer = dimensions["vit"], dimensions["qformer"]
    layer = "Qformer.bert.encoder.layer."
    text = text_config(read_config(release.folder / PHI), Family(TinyGPTVTextConfig.model_type))
    text.qk_layernorm = True
    return TinyGPTVConfig(
        text_config=text,
        vision_config=Blip2VisionConfig(
            hidden_size=_shape(stored, f"{TOWER}cls_token")[-1],
            intermediate_size=_shape(stored, f"{TOWER}blocks.0.mlp.fc1.weight")[0],
            num_hidden_layers=vit["depth"],
            num_attention_heads=vit["num_heads"],
            image_size=dimensions["image_size"],
            patch_size=_shape(stored, f"{TOWER}patch_embed.proj.weight")[-1],
        ),
        qformer_config=Blip2QFormerConfig(
            hidden_size=_shape(stored, "query_tokens")[-1],
            num_hidden_layers=1
            + max(int(name[len(layer) :].split(".")[0]) for name in stored if name.startswith(layer)),
            num_attention_heads=qformer["num_attention_heads"],
            intermediate_size=_shape(stored, f"{layer}0.intermediate_query.dense.weight")[0],
            layer_norm_eps=qformer["layer_norm_eps"],
            cross_attention_frequency=qformer["cross_attention_freq"],
            encoder_hidden_size=_shape(stored, f"{TOWER}cls_token")[-1],
        ),
        num_query_tokens=_shape(stored, "query_tokens")[1],
        projector_hidden_size=_shape(stored, "llama_proj.weight")[0],
        image_token_index=tokenizer.get_vocab()[IMAGE_TOKEN],
        image_seq_length=_shape(stored, "query_tokens")[1],
    )


def _shape(stored: dict[str, torch.Size], name: str) -> torch.Size:
    if name not in stored:
        raise ConversionError(f"missing key {name}: the files do not belong together, or one is incomplete")
    return stored[name]


def _origins(target: str, shape: tuple[int, ...], fused_heads: int | None) -> Iterator[Origin]:
    """Where a tensor of ours comes from; `fused_heads`: of the language model, if its q, k, v are one tensor."""
    name = target
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    projection = re.match(r"(model\..*\.self_attn\.)([qkv])_proj\.(.*)", name)
    if name.startswith(TOWER) and name.endswith(".qkv.bias"):
        width = shape[0] // 3
        for index, part in enumerate("qkv"):
            where = slice(index * width, (index + 1) * width)
            yield Origin(name.replace("qkv.bias", f"{part}_bias"), target_index=(where,))
    elif projection and fused_heads:
        rows = head_rows(shape[0], fused_heads, projection[2])
        yield Origin(f"{projection[1]}query_key_value.{projection[3]}", (rows,))
    else:
        yield Origin(name)


def _resized(table: torch.Tensor, positions: int) -> torch.Tensor:
    """The tower's table [1, 1 + n, width] for its picture size: the class token's row is kept, the grid's are resized."""
    if table.shape[1] == positions:
        return table
    grid = resize_table(table[0, 1:], positions - 1)
    return torch.cat([table[:, :1].float(), grid[None]], dim=1)


def _generation_config(tokenizer: PreTrainedTokenizerBase) -> GenerationConfig:
    """Greedy decoding up to the next turn; the authors let answers run on to 20 tokens."""
    end = tokenizer.get_vocab()["<|endoftext|>"]
    return GenerationConfig(
        do_sample=False, eos_token_id=[end, *tokenizer.encode(STOP)[:1]], pad_token_id=end, bos_token_id=None
    )


def _processor(tokenizer: PreTrainedTokenizerBase, config: TinyGPTVConfig) -> FixedRowsProcessor:
    if tokenizer.pad_token is None:
        tokenizer.pad_token = "<|endoftext|>"
    return FixedRowsProcessor(
        image_processor=stretching_image_processor(config.vision_config.image_size),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
        image_token=IMAGE_TOKEN,
        num_image_tokens=config.image_seq_length,
    )
