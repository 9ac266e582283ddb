"""A published Qwen-VL or Qwen-VL-Chat checkpoint as one of ours: streaming, verified, safe, without its code.

Source of the names: Qwen-VL's weight index; spec/peer_models.md section 1.5.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import normalizers
from tqdm import tqdm
from transformers import GenerationConfig, PreTrainedTokenizerFast

from moellava.convert.families import FAMILIES, Origin, origins, text_config
from moellava.convert.plan import Assembler, plan_of
from moellava.convert.source import ConversionError, blame, iterate_tensors, read_config, weight_files
from moellava.convert.tokenizer import QWEN_SPECIAL, from_ranks
from moellava.convert.writer import ShardWriter, whole_folder
from moellava.peers.processing import FixedRowsProcessor, stretching_image_processor
from moellava.peers.qwen_vl.chat import ESCAPE, IMAGE_TOKEN, TEMPLATES
from moellava.peers.qwen_vl.configuration import QwenVLConfig, QwenVLTextConfig, QwenVLVisionConfig
from moellava.peers.qwen_vl.modeling import QwenVLForConditionalGeneration

__all__ = ["configuration_of", "convert", "is_source", "load_tokenizer", "origins_of"]

SHARD_BYTES = 1 << 30
FAMILY = replace(FAMILIES["qwen"], text_model_type=QwenVLTextConfig.model_type)
VISUAL = "transformer.visual."
NUM_POSITIONS = 256  # fixed in the original's code, as is the number of queries where the configuration has none
LEFT_OUT = re.compile(r".*\.(rotary_emb\.inv_freq|attn\.masked_bias)$")  # buffers of old uploads
TAGS = ["<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>", "<img>", "</img>", IMAGE_TOKEN]
VISION_NAMES = (
    (r"^patch_embedding\.", "conv1."),
    (r"^position_embedding$", "positional_embedding"),
    (r"^pre_layernorm\.", "ln_pre."),
    (r"^encoder\.layers\.", "transformer.resblocks."),
    (r"\.layer_norm([12])\.", r".ln_\1."),
    (r"\.self_attn\.[qkv]_proj\.", ".attn.in_proj."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
    (r"^resampler\.", "attn_pool."),
    (r"^post_layernorm\.", "ln_post."),
    (r"^projection$", "proj"),
)


def is_source(folder: Path) -> bool:
    """Whether a folder is a Qwen-VL checkpoint: `model_type` is that of text-only Qwen, too, which has no `visual`."""
    if not (folder / "config.json").is_file():
        return False
    config = read_config(folder)
    return config.get("model_type") == "qwen" and "visual" in config


def convert(source: Path, out: Path, *, progress: bool = False) -> Path:
    """Convert a folder with `config.json`, `generation_config.json`, `qwen.tiktoken` and the weights.

    Values keep their dtype, bit for bit. `auto_map` is ignored: no code is loaded.

    Raises:
        ConversionError: anything wrong with the source, naming file and key; `out` is not created then.
    """
    config = read_config(source)
    tokenizer = load_tokenizer(source, config)
    with blame(source / "config.json"):
        model_config = configuration_of(config, tokenizer)
        with torch.device("meta"):
            shapes = {name: t.shape for name, t in QwenVLForConditionalGeneration(model_config).state_dict().items()}
    heads = model_config.vision_config.num_attention_heads
    plan = plan_of(shapes, lambda target, shape: origins_of(target, shape, heads))
    with whole_folder(out) as folder:
        writer = ShardWriter(folder, SHARD_BYTES)
        assembler = Assembler(plan, shapes, writer.add)
        bar = tqdm(_tensors(source), f"convert to {out.name}", len(plan), disable=not progress)
        for path, name, tensor in bar:
            assembler.add(name, tensor, path)
            model_config.dtype = tensor.dtype
        assembler.check_complete(source)
        writer.finish()
        model_config.architectures = [QwenVLForConditionalGeneration.__name__]
        model_config.save_pretrained(folder)
        _generation_config(tokenizer).save_pretrained(folder)
        _processor(tokenizer, model_config, _chat_format(source)).save_pretrained(folder)
    return out


def _tensors(source: Path) -> Iterator[tuple[Path, str, torch.Tensor]]:
    for path in weight_files(source):
        for name, tensor in iterate_tensors(path):
            if not LEFT_OUT.match(name):
                yield path, name, tensor


def load_tokenizer(source: Path, config: dict) -> PreTrainedTokenizerFast:
    """The tokenizer of a folder, whose special ids must fit `config.json` (ConversionError)."""
    path = source / "qwen.tiktoken"
    if not path.exists():
        raise ConversionError(f"{path}: not found; it is the vocabulary of Qwen-VL, download it with the weights")
    tokenizer = from_ranks(path, [*QWEN_SPECIAL, *TAGS], "<|endoftext|>", None)
    first, configured = tokenizer.convert_tokens_to_ids("<img>"), config["visual"].get("image_start_id")
    if first != configured:
        raise ConversionError(
            f"{path}: <img> would be token {first}, but config.json says {configured} (visual.image_start_id); "
            "is the file cut off?"
        )
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence([normalizers.Replace(ESCAPE, ""), normalizers.NFC()])
    return tokenizer


def configuration_of(config: dict, tokenizer: PreTrainedTokenizerFast) -> QwenVLConfig:
    """Our configuration from the published one."""
    visual = config["visual"]
    queries = visual.get("n_queries", 256)
    if math.isqrt(queries) ** 2 != queries:
        raise ValueError(f"visual.n_queries is {queries}, not a square number")
    return QwenVLConfig(
        text_config=text_config(config, FAMILY),
        vision_config=QwenVLVisionConfig(
            hidden_size=visual["width"],
            intermediate_size=int(visual["width"] * visual["mlp_ratio"]),
            num_hidden_layers=visual["layers"],
            num_attention_heads=visual["heads"],
            image_size=visual["image_size"],
            patch_size=visual["patch_size"],
            num_positions=NUM_POSITIONS,
            num_queries=queries,
            output_size=visual["output_dim"],
        ),
        image_token_index=tokenizer.get_vocab()[IMAGE_TOKEN],
        image_seq_length=queries,
    )


def origins_of(target: str, shape: tuple[int, ...], heads: int) -> Iterator[Origin]:
    """The published tensors that make up one of ours; `heads`: of the tower."""
    tower = "model.vision_tower."
    if not target.startswith(tower):
        yield from origins(target, shape, FAMILY, "", "")
        return
    name = target.removeprefix(tower)
    part = re.search(r"\.self_attn\.([qkv])_proj\.", name)
    for pattern, replacement in VISION_NAMES:
        name = re.sub(pattern, replacement, name)
    # The tower's rows are [head][q, k, v][size]; the resampler's three blocks stay as they are.
    rows = torch.arange(3 * shape[0]).view(heads, 3, -1)[:, "qkv".index(part[1])].flatten() if part else None
    yield Origin(VISUAL + name) if rows is None else Origin(VISUAL + name, (rows,))


def _chat_format(source: Path) -> str:
    """`raw` for the base model, `chatml` for Qwen-VL-Chat."""
    path = source / "generation_config.json"
    if not path.exists():
        raise ConversionError(f"{path}: not found; its chat_format tells Qwen-VL (raw) from Qwen-VL-Chat (chatml)")
    with blame(path):
        chat_format = str(json.loads(path.read_text()).get("chat_format"))
    if chat_format not in TEMPLATES:
        raise ConversionError(f"{path}: chat_format is {chat_format!r}, not one of {', '.join(TEMPLATES)}")
    return chat_format


def _generation_config(tokenizer: PreTrainedTokenizerFast) -> GenerationConfig:
    """Greedy decoding up to the end of a text or of a turn; the authors sample in their demo only."""
    ends = ["<|endoftext|>", "<|im_end|>", "<|im_start|>"]
    return GenerationConfig(
        do_sample=False,
        eos_token_id=tokenizer.convert_tokens_to_ids(ends),
        pad_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"),
    )


def _processor(tokenizer: PreTrainedTokenizerFast, config: QwenVLConfig, chat_format: str) -> FixedRowsProcessor:
    return FixedRowsProcessor(
        image_processor=stretching_image_processor(config.vision_config.image_size),
        tokenizer=tokenizer,
        chat_template={"default": TEMPLATES[chat_format], **TEMPLATES},  # the authors ask Chat raw questions, too
        image_token=IMAGE_TOKEN,
        num_image_tokens=config.image_seq_length,
    )
