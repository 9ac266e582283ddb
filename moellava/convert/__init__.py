"""From a checkpoint in the upstream format to one of ours: streaming, verified, safe.

The new model's state dict, laid out on the meta device, is the plan: each of its tensors names the upstream tensors it
comes from (`families.origins`). Source files are then read once, shard by shard; every source tensor must be in the
plan or on the short list of things to leave out, and every tensor of the plan must have come by at the end.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedTokenizerBase

from moellava.chat_template import chat_template
from moellava.configuration import MoELlavaConfig
from moellava.convert.families import Family, Origin, family_of, moe_config, origins, text_config
from moellava.convert.source import (
    PROJECTOR_ONLY,
    ConversionError,
    iterate_tensors,
    read_config,
    tensor_names,
    weight_files,
)
from moellava.convert.tokenizer import IMAGE_TOKEN, load_tokenizer
from moellava.convert.tower import Tower, find_tower, tower_copy_prefix
from moellava.convert.writer import ShardWriter, whole_folder
from moellava.modeling import MoELlavaForConditionalGeneration
from moellava.processing import MoELlavaProcessor

__all__ = ["ConversionError", "convert"]

# Buffers of old exports, and the head bias of a plain Phi-2, which upstream drops when stage 1 starts.
LEFT_OUT = re.compile(r"(.*\.)?(rotary_emb\.inv_freq|position_ids)$|^lm_head\.bias$")

SHARD_BYTES = 1 << 30


def convert(source: Path, out: Path, *, base: Path | None = None, progress: bool = False) -> Path:
    """Convert an upstream checkpoint folder into one that `MoELlavaForConditionalGeneration.from_pretrained` loads.

    Values keep their dtype, bit for bit. The vision tower is the one that the configuration names, if its folder lies
    beside the checkpoint, as upstream loads it; else the copy inside the checkpoint; else it is fetched from the hub.

    Args:
        source: upstream folder (MoE or dense; `download.fetch_source` brings one from the hub).
        out: folder to create.
        base: folder of the language model, for a stage-1 checkpoint, which holds the projector only.
        progress: show a progress bar on stderr.

    Returns:
        `out`, which holds the model, its tokenizer, chat template, processor and generation settings.

    Raises:
        ConversionError: anything wrong with the source, naming file and key; `out` is not created then.
    """
    config = read_config(source)
    family = family_of(config, source)
    files = _language_model_files(source, base)
    names = {path: tensor_names(path) for path in files}
    tower = find_tower(source, config, [name for path in files for name in names[path]])
    tokenizer, num_logits = load_tokenizer(base or source, config)
    model_config = _model_config(config, family, tower, tokenizer)
    plan, shapes = _plan(model_config, family, tower, [name for path in files for name in names[path]])
    with whole_folder(out) as folder:
        writer = ShardWriter(folder, SHARD_BYTES)
        assembler = _Assembler(plan, shapes, writer.add)
        with tqdm(total=len(plan), desc=f"convert {source.name}", unit="tensor", disable=not progress) as bar:
            for path in files:
                for name, tensor in iterate_tensors(path):
                    leave_out = LEFT_OUT.match(name) or (tower.folder and name.startswith(tower.copy_prefix))
                    if not leave_out or name in plan:
                        assembler.add(name, tensor, path)
                        bar.update()
            for path in tower.files:
                for name, tensor in iterate_tensors(path):
                    if name.startswith("vision_model.") and not LEFT_OUT.match(name):
                        assembler.add(tower.prefix + name.removeprefix("vision_model."), tensor, path)
                        bar.update()
        dtype = assembler.finish(source)
        writer.finish()
        model_config.dtype = dtype
        model_config.architectures = [MoELlavaForConditionalGeneration.__name__]
        model_config.save_pretrained(folder)
        _generation_config(config, tokenizer, _end_marker(family, tokenizer), num_logits, model_config).save_pretrained(folder)
        _processor(tower, tokenizer, _end_marker(family, tokenizer), config, model_config).save_pretrained(folder)
    return out


def _language_model_files(source: Path, base: Path | None) -> list[Path]:
    if (source / PROJECTOR_ONLY).exists() and not any(source.glob("*model*.safetensors")) and not any(source.glob("pytorch_model*.bin")):
        if base is None:
            raise ConversionError(f"{source}: a stage-1 checkpoint holds the projector only; name its language model with --base FOLDER")
        return [*weight_files(base), source / PROJECTOR_ONLY]
    if base is not None:
        raise ConversionError(f"{source}: holds a whole model; --base is for stage-1 checkpoints ({PROJECTOR_ONLY})")
    return weight_files(source)


def _model_config(config: dict, family: Family, tower: Tower, tokenizer: PreTrainedTokenizerBase) -> MoELlavaConfig:
    projector = config.get("image_projector_type", config.get("mm_projector_type", "linear"))
    if projector != "mlp2x_gelu":
        raise ConversionError(f"config.json: projector type {projector!r} is not supported, only mlp2x_gelu")
    if config.get("mm_vision_select_feature", "patch") != "patch":
        raise ConversionError(f"config.json: mm_vision_select_feature {config['mm_vision_select_feature']!r} is not supported, only patch")
    return MoELlavaConfig(
        text_config=text_config(config, family),
        vision_config=tower.config,
        moe=moe_config(config),
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_seq_length=tower.num_patches,
        vision_feature_layer=config.get("mm_vision_select_layer", -2),
        vision_feature_select_strategy="default",
        projector_hidden_act="gelu",
    )


Plan = dict[str, list[tuple[str, Origin]]]


def _plan(
    config: MoELlavaConfig, family: Family, tower: Tower, source_names: Iterable[str]
) -> tuple[Plan, dict[str, torch.Size]]:
    """Source name -> the tensors of ours that it (partly) fills; and the shapes of ours."""
    with torch.device("meta"):
        state = MoELlavaForConditionalGeneration(config).state_dict()
    if config.tie_word_embeddings:
        state.pop("lm_head.weight")
    nested = any(".mm_projector.image_spatial_proj." in name for name in source_names)
    # Qwen (v1) keeps everything but its head under `transformer.`, the projector and the tower too.
    projector = family.prefix + ("mm_projector.image_spatial_proj." if nested else "mm_projector.")
    plan: Plan = defaultdict(list)
    for target, tensor in state.items():
        for origin in origins(target, tuple(tensor.shape), family, projector, tower.prefix):
            plan[origin.source].append((target, origin))
    return dict(plan), {target: tensor.shape for target, tensor in state.items()}


class _Assembler:
    """Takes source tensors in any order and passes each tensor of ours on as soon as all its parts have come."""

    def __init__(self, plan: Plan, shapes: dict[str, torch.Size], emit: Callable[[str, torch.Tensor], None]):
        self.plan, self.shapes, self.emit = plan, shapes, emit
        self.seen: dict[str, Path] = {}
        self.dtypes: set[torch.dtype] = set()
        self._partial: dict[str, tuple[torch.Tensor, int]] = {}

    def add(self, name: str, tensor: torch.Tensor, path: Path) -> None:
        if name not in self.plan:
            if name == "lm_head.weight":  # a copy of the tied embedding
                return
            raise ConversionError(f"{path}: unexpected key {name!r}; the model that config.json describes has no such tensor")
        if name in self.seen:
            raise ConversionError(f"{path}: key {name!r} was already in {self.seen[name].name}; every tensor must come once")
        self.seen[name] = path
        self.dtypes.add(tensor.dtype)
        for target, origin in self.plan[name]:
            self._place(target, origin, tensor, path)

    def _place(self, target: str, origin: Origin, tensor: torch.Tensor, path: Path) -> None:
        shape = self.shapes[target]
        expected = torch.empty(shape, device="meta")[origin.target_index].shape
        part = tensor[origin.source_index] if tensor.dim() else tensor
        blocks = sum(other.source == origin.source for _, other in self.plan[origin.source])
        if part.shape != expected or tensor.numel() != blocks * part.numel():
            wanted = torch.Size([blocks * expected[0], *expected[1:]]) if expected else expected
            raise ConversionError(f"{path}: key {origin.source!r} has shape {list(tensor.shape)}, but config.json asks for {list(wanted)}")
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

    def finish(self, source: Path) -> torch.dtype:
        """Check that nothing is missing; the dtype of the language model's tensors."""
        missing = [name for name in self.plan if name not in self.seen]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise ConversionError(f"{source}: missing key {', '.join(missing[:3])}{more}; the checkpoint is incomplete, or config.json belongs to another")
        half = self.dtypes & {torch.bfloat16, torch.float16}
        return half.pop() if half else torch.float32


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
    eos = [configured] if isinstance(configured, int) else list(configured or [])
    eos_token_id = list(dict.fromkeys([tokenizer.convert_tokens_to_ids(end), *eos]))
    beyond = list(range(num_logits, model_config.text_config.vocab_size))
    return GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=eos_token_id,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else eos_token_id[0],
        suppress_tokens=beyond or None,
    )


def _processor(
    tower: Tower, tokenizer: PreTrainedTokenizerBase, end: str, config: dict, model_config: PreTrainedConfig
) -> MoELlavaProcessor:
    if tokenizer.pad_token is None:
        tokenizer.pad_token = end
    return MoELlavaProcessor(
        image_processor=tower.image_processor(pad=config.get("image_aspect_ratio") == "pad"),
        tokenizer=tokenizer,
        patch_size=model_config.vision_config.patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=tower.num_class_tokens,
        chat_template=chat_template(end),
    )
