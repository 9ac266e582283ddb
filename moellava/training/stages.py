"""The model of a stage: where it comes from, and which of its parameters are trained.

Stage 1 puts a fresh projector between a language model and a vision tower; stage 2 takes stage 1's projector to the
language model again; stage 3 makes stage 2's model sparse. Source: spec/training.md sections 1, 2 and 4. The stage
"finetune" goes on with a finished model as it is.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.initialization import no_init_weights
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from moellava.chat_template import chat_template
from moellava.configuration import MoELlavaConfig
from moellava.convert.families import FAMILIES
from moellava.convert.hub import fetch
from moellava.convert.source import ConversionError, blame, weight_files
from moellava.convert.tokenizer import IMAGE_TOKEN, load_tokenizer
from moellava.convert.tower import Tower
from moellava.modeling import MoELlavaForConditionalGeneration
from moellava.processing import MoELlavaProcessor
from moellava.sparsify import sparsify
from moellava.training.errors import TrainingError
from moellava.training.recipe import Recipe

__all__ = ["TEMPLATES", "Plan", "build_model", "is_trained", "mark_trained", "plan_stage"]

TEMPLATES = {
    "phi": "<|endoftext|>",
    "qwen": "<|endoftext|>",
    "stablelm": "<|endoftext|>",
    "openchat": "<|end_of_turn|>",
    "mistral": "</s>",
    "minicpm": "</s>",
    "v1": "</s>",
}
"""Conversation formats and the marker that ends an answer (spec/checkpoints.md section 3); "plain" has no turns."""

BACKBONE_FILES = ["*.json", "*.txt", "*.model", "*.tiktoken", "*.safetensors", "pytorch_model*.bin"]
TOWER_FILES = ["config.json", "preprocessor_config.json", "model.safetensors", "pytorch_model.bin"]


def is_trained(name: str, trains: str) -> bool:
    """Whether a stage that `trains` so updates the parameter of that name.

    "moe-as-scripted" is what upstream's name matching hits: experts, routers, the dense layers' feed-forward parts, and
    the projector, which is switched on again afterwards. "moe-as-paper" is what the paper says: the MoE layers.
    """
    projector, tower = ".multi_modal_projector." in name, ".vision_tower." in name
    feed_forward = ".mlp." in name and not tower
    return {
        "projector": projector,
        "all-but-tower": not tower,
        "all": True,
        "moe-as-scripted": feed_forward or projector,
        "moe-as-paper": feed_forward and (".mlp.experts." in name or ".mlp.router." in name),
    }[trains]


def mark_trained(model: nn.Module, trains: str) -> list[str]:
    """Set `requires_grad` of all parameters; returns the names of those that are trained."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(is_trained(name, trains))
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


@dataclass(frozen=True)
class Plan:
    """Everything about a stage's model that can be known without its weights.

    Args:
        config: of the model that is trained; for stage 3 the sparse one.
        processor: as it is saved with the finished stage.
        backbone, tower: folders of the parts, None where a part comes from `start_from` or from nothing.
    """

    config: MoELlavaConfig
    processor: MoELlavaProcessor
    generation_config: GenerationConfig
    backbone: Path | None
    tower: Path | None


def plan_stage(recipe: Recipe) -> Plan:
    """Read configurations and tokenizer, and check that they fit the recipe. No weight is read.

    Raises:
        TrainingError: a predecessor that is missing, unfinished or of another stage, a template that does not fit the
            tokenizer, a sparse layer that does not exist, data files that are not there.
    """
    _check_data(recipe)
    if recipe.start_from:
        _check_predecessor(recipe, recipe.start_from)
    if recipe.start_from and not (recipe.backbone or recipe.text_config):
        plan = _continued(recipe, recipe.start_from)
    else:
        plan = _assembled(recipe)
    if recipe.moe:
        layers = plan.config.text_config.num_hidden_layers
        try:
            config = MoELlavaConfig(**{**plan.config.to_dict(), "moe": recipe.moe.config(layers).to_dict()})
        except ValueError as error:
            raise TrainingError(f"moe: {' '.join(str(error).split())}") from None
        return Plan(config, plan.processor, plan.generation_config, plan.backbone, plan.tower)
    return plan


def build_model(
    recipe: Recipe, plan: Plan, checkpoint: Path | None = None, dtype: torch.dtype = torch.float32
) -> MoELlavaForConditionalGeneration:
    """The model that the stage starts from, or goes on with from a `checkpoint`; what is trained is marked.

    New parts (projector, routers, a model from nothing) are drawn from the recipe's seed.
    """
    torch.manual_seed(recipe.train.seed)
    if checkpoint:
        model = _load(MoELlavaForConditionalGeneration, checkpoint, dtype)
    elif recipe.start_from and not (recipe.backbone or recipe.text_config):
        model = _load(MoELlavaForConditionalGeneration, recipe.start_from, dtype)
        if recipe.moe:
            sparsify(model, plan.config.moe)
    else:
        model = _assemble(recipe, plan, dtype)
    model.generation_config = plan.generation_config
    mark_trained(model, recipe.trains)
    return model


def _check_data(recipe: Recipe) -> None:
    for number, data in enumerate(recipe.data):
        if not data.file.is_file():
            raise TrainingError(f"data.{number}.file: {data.file} does not exist; set data.{number}.file=FILE")
        if data.images is not None and not data.images.is_dir():
            raise TrainingError(f"data.{number}.images: {data.images} is not a folder; set data.{number}.images=FOLDER")


def _check_predecessor(recipe: Recipe, folder: Path) -> None:
    what = f"start_from: {folder}"
    if not (folder / "config.json").is_file():
        unfinished = any(folder.glob("checkpoint-*"))
        state = "holds an unfinished stage; let it finish first" if unfinished else "is no finished stage"
        raise TrainingError(f"{what} {state} (stage {recipe.stage} goes on from {_before(recipe)})")
    with blame(folder / "config.json", kind=TrainingError):
        config = dict(json.loads((folder / "config.json").read_text()))
    if config.get("model_type") != "moe_llava":
        raise TrainingError(
            f"{what} is a {config.get('model_type')!r}; convert it first: moellava convert {folder} OUT"
        )
    if recipe.moe and config.get("moe", {}).get("layers"):
        raise TrainingError(
            f"{what} is sparse already; stage 3 starts from the dense model of stage 2 (to go on with a sparse one: "
            "stage: finetune)"
        )
    if recipe.stage == "finetune" and recipe.trains.startswith("moe-") and not config.get("moe", {}).get("layers"):
        raise TrainingError(f"{what} is dense; trains: {recipe.trains} is for sparse models (all-but-tower, all)")
    stage = _stage_of(folder)
    if stage is not None and isinstance(recipe.stage, int):
        fitting = (recipe.stage, recipe.stage - 1, *([1] if recipe.skip_stage_2 else []))
        if stage not in fitting:
            cure = " (skip_stage_2=true lets it start from stage 1)" if (stage, recipe.stage) == (1, 3) else ""
            raise TrainingError(f"{what} is of stage {stage}; stage {recipe.stage} starts from {_before(recipe)}{cure}")


def _before(recipe: Recipe) -> str:
    return f"stage {recipe.stage - 1}" if isinstance(recipe.stage, int) else "a finished model"


def _stage_of(folder: Path) -> object:
    """The stage that a folder of ours was made by, None if it does not say."""
    try:
        return json.loads((folder / "training.json").read_text())["recipe"]["stage"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _continued(recipe: Recipe, folder: Path) -> Plan:
    with blame(f"start_from: {folder}", kind=TrainingError):
        config = MoELlavaConfig.from_pretrained(folder)
        processor = MoELlavaProcessor.from_pretrained(folder, trust_remote_code=False)
        generation = GenerationConfig.from_pretrained(folder)
    if recipe.template in TEMPLATES:
        end = _end_marker(recipe, processor.tokenizer, config.text_config.model_type, str(folder))
        processor.chat_template = processor.tokenizer.chat_template = chat_template(end)
    _check_template(recipe)
    processor.image_processor.do_pad = recipe.pad_images
    config.codebase = recipe.codebase or config.codebase
    return Plan(config, processor, generation, None, None)


def _assembled(recipe: Recipe) -> Plan:
    """The plan of a model put together from a language model, a tower and a projector."""
    _check_template(recipe)
    backbone = _folder("backbone", recipe.backbone, BACKBONE_FILES) if recipe.backbone else None
    tower = _folder("vision_tower", recipe.vision_tower, TOWER_FILES) if recipe.vision_tower else None
    tokenizer, num_logits = _tokenizer(recipe, backbone)
    text_config = _text_config(recipe, backbone, len(tokenizer))
    vision_config = AutoConfig.for_model(**(recipe.vision_config or {})) if tower is None else _vision_config(tower)
    end = _end_marker(recipe, tokenizer, text_config.model_type, recipe.backbone or str(recipe.tokenizer))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = end
    vision = Tower(vision_config, tower or Path(), [], None)
    processor = MoELlavaProcessor(
        image_processor=_image_processor(vision, tower, recipe.pad_images),
        tokenizer=tokenizer,
        patch_size=vision_config.patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=vision.num_class_tokens,
        chat_template=chat_template(end),
    )
    config = MoELlavaConfig(
        text_config=text_config,
        vision_config=vision_config,
        image_token_index=tokenizer.get_vocab()[IMAGE_TOKEN],
        image_seq_length=vision.num_patches,
        vision_feature_layer=recipe.vision_feature_layer,
        vision_feature_select_strategy="default",
        projector_hidden_act="gelu",
        tie_word_embeddings=text_config.tie_word_embeddings,
        codebase=recipe.codebase or "moe-llava",
    )
    eos = tokenizer.convert_tokens_to_ids(end)
    generation = GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=list(dict.fromkeys([eos, tokenizer.eos_token_id or eos])),
        pad_token_id=tokenizer.pad_token_id,
        suppress_tokens=list(range(num_logits, text_config.vocab_size)) or None,
    )
    return Plan(config, processor, generation, backbone, tower)


def _folder(key: str, source: str, patterns: list[str]) -> Path:
    if Path(source).is_dir():
        return Path(source)
    if source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise TrainingError(f"{key}: {source} is no folder and no hub id (ORGANISATION/NAME)")
    try:
        return fetch(source, patterns)
    except ConversionError as error:
        raise TrainingError(f"{key}: {error}") from None


def _tokenizer(recipe: Recipe, backbone: Path | None) -> tuple[Any, int]:
    """The tokenizer with `<image>`, and its length without (ids from there on never come out)."""
    folder = backbone or recipe.tokenizer
    assert folder is not None
    with blame(f"tokenizer: {folder}", kind=TrainingError):
        if recipe.backbone:
            return load_tokenizer(folder, {"mm_use_im_patch_token": False})
        tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", trust_remote_code=False)
    if IMAGE_TOKEN not in tokenizer.get_vocab():
        tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    return tokenizer, len(tokenizer)


def _text_config(recipe: Recipe, backbone: Path | None, vocab_size: int) -> Any:
    if backbone is None:
        values = {"vocab_size": vocab_size, "pad_token_id": None, **(recipe.text_config or {})}
        if "model_type" not in values:
            raise TrainingError("text_config: names no model_type (llama, qwen2, phi, ...)")
        with blame("text_config", kind=TrainingError):
            return AutoConfig.for_model(**values)
    with blame(f"backbone: {recipe.backbone}", kind=TrainingError):
        config = AutoConfig.from_pretrained(backbone, trust_remote_code=False)
    config.pad_token_id = None  # would only keep that row of the embedding from training
    return config


def _vision_config(tower: Path) -> Any:
    with blame(f"vision_tower: {tower}", kind=TrainingError):
        config = AutoConfig.from_pretrained(tower, trust_remote_code=False)
    config = getattr(config, "vision_config", config)
    if config.model_type not in ("clip_vision_model", "siglip_vision_model"):
        raise TrainingError(f"vision_tower: {tower} is a {config.model_type!r}; only CLIP and SigLIP are known")
    return config


def _image_processor(vision: Tower, tower: Path | None, pad: bool) -> LlavaImageProcessorPil:
    if tower is not None:
        return vision.image_processor(pad=pad)
    side = vision.config.image_size
    square = {"height": side, "width": side}
    crop = bool(vision.num_class_tokens)
    size = {"shortest_edge": side} if crop else square
    return LlavaImageProcessorPil(size=size, crop_size=square, do_center_crop=crop, do_pad=pad)


def _check_template(recipe: Recipe) -> None:
    if recipe.template not in (None, "plain", *TEMPLATES):
        raise TrainingError(f"template: {recipe.template!r} is not known: plain, {', '.join(TEMPLATES)}")


def _end_marker(recipe: Recipe, tokenizer: Any, model_type: str, source: str) -> str:
    """What ends an answer: the template's marker, or for "plain" the one that the backbone's family uses."""
    vocabulary = tokenizer.get_vocab()
    if recipe.template in TEMPLATES:
        end = TEMPLATES[recipe.template]
        if end not in vocabulary:
            fitting = ", ".join(name for name, marker in TEMPLATES.items() if marker in vocabulary) or "plain only"
            raise TrainingError(
                f"template: {recipe.template} ends answers with {end}, which the tokenizer of {source} does not have; "
                f"fitting are {fitting}"
            )
        return end
    families: Iterable = (family for family in FAMILIES.values() if family.text_model_type == model_type)
    known = [end for family in families for end in family.end if end in vocabulary]
    return known[0] if known else tokenizer.eos_token


def _load(model_class: Any, folder: Path, dtype: torch.dtype) -> Any:
    """`from_pretrained`, with every weight accounted for."""
    with blame(folder, kind=TrainingError):
        model, report = model_class.from_pretrained(
            folder, dtype=dtype, output_loading_info=True, trust_remote_code=False
        )
    missing = report["missing_keys"] or report["mismatched_keys"]
    if missing:
        raise TrainingError(
            f"{folder}: {len(missing)} weights missing or of another shape, such as {min(map(str, missing))}"
        )
    return model


def _assemble(recipe: Recipe, plan: Plan, dtype: torch.dtype) -> MoELlavaForConditionalGeneration:
    if plan.backbone is None:
        model = MoELlavaForConditionalGeneration(plan.config)
        nn.Module.to(model, dtype)
    else:
        with torch.device("meta"), no_init_weights():
            model = MoELlavaForConditionalGeneration(plan.config)
        language_model = _load(AutoModelForCausalLM, plan.backbone, dtype)
        model.model.language_model = language_model.model
        # Without its bias, where there is one: upstream drops Phi-2's when stage 1 starts.
        model.lm_head.weight = language_model.lm_head.weight
        if plan.tower is None:
            model.model.vision_tower = AutoModel.from_config(plan.config.vision_config).to(dtype)
    if plan.tower is not None:
        model.model.vision_tower = _load_tower(plan, dtype)
    # torch's default initialisation, which upstream keeps, not the language model's.
    model.model.multi_modal_projector = LlavaMultiModalProjector(plan.config).to(dtype)
    if recipe.start_from:
        _load_projector(model.model.multi_modal_projector, recipe.start_from)
    model.tie_weights()
    return model


def _load_tower(plan: Plan, dtype: torch.dtype) -> nn.Module:
    """The vision model alone; the folder may hold a whole CLIP or SigLIP."""
    assert plan.tower is not None
    with torch.device("meta"), no_init_weights():
        model_class = type(AutoModel.from_config(plan.config.vision_config))
    with blame(f"vision_tower: {plan.tower}", kind=TrainingError):
        weight_files(plan.tower)
        model, report = model_class.from_pretrained(
            plan.tower, config=plan.config.vision_config, dtype=dtype, output_loading_info=True
        )
    if report["missing_keys"]:
        raise TrainingError(f"vision_tower: {plan.tower} lacks {min(report['missing_keys'])}")
    return model


def _load_projector(projector: nn.Module, folder: Path) -> None:
    prefix = "model.multi_modal_projector."
    state: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        with blame(path, kind=TrainingError), safe_open(str(path), framework="pt") as file:
            state |= {
                name.removeprefix(prefix): file.get_tensor(name)
                for name in list(file.keys())
                if name.startswith(prefix)
            }
    with blame(f"start_from: {folder}: its projector does not fit", kind=TrainingError):
        projector.load_state_dict(state)
