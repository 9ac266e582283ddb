"""The model of a `ModelSource` and its processor, loaded and tried."""

import sys
from typing import TYPE_CHECKING, Any

from moe_eval.engine.ablation import prune
from moe_eval.engine.adapters import with_adapter
from moe_eval.engine.architectures import check_architecture
from moe_eval.engine.first_generation import MODEL_TYPES, called_as_newer_ones, set_up_generation
from moe_eval.engine.memory import check_fits, free_memory, weights_of
from moe_eval.engine.parameters import laid_out
from moe_eval.engine.picture_budget import picture_settings, with_settings
from moe_eval.engine.processing import check_template
from moe_eval.engine.quantization import quantization_options
from moe_eval.engine.trial import try_out
from moe_eval.errors import UserError

if TYPE_CHECKING:
    from moe_eval.engine.models import ModelSource

__all__ = ["load", "load_processor"]

PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")


def load(source: "ModelSource") -> tuple[Any, Any]:
    """The model, in evaluation mode on its device, and its processor; see `ModelSource.load`."""
    from transformers import AutoModelForImageTextToText
    from transformers.utils import logging

    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    config = source.config
    processor = load_processor(source)
    if hasattr(config, "image_grid_pinpoints"):  # the model, too, tells by them how a picture was cut
        config.image_grid_pinpoints = processor.image_processor.image_grid_pinpoints
    _check_memory(source)
    placed = source.quantize is not None or source.device_map is not None  # by transformers, while weights are read
    options = _where_to(source) if placed else {}
    loaded: Any = source.read(
        "its weights",
        lambda: AutoModelForImageTextToText.from_pretrained(
            source.folder,
            config=config,
            dtype=source.torch_dtype,
            output_loading_info=True,
            trust_remote_code=source.trust_remote_code,
            **options,
        ),
    )
    model, report = loaded
    for problem, keys in report.items():
        if keys:
            raise UserError(
                f"model {source.name} ({source.folder}): {len(keys)} {problem.replace('_', ' ')}, such as "
                f"{min(map(str, keys))}; the checkpoint and its config.json do not belong together"
            )
    if source.adapter is not None:
        model = with_adapter(model, source.adapter)
    if config.model_type in MODEL_TYPES:
        set_up_generation(model, processor.tokenizer)
    model = (model if placed else model.to(source.torch_device)).eval()
    try_out(model, processor, source.name)
    if source.router_noise_seed is not None:
        from moellava.noise import enable_question_noise

        model.question_noise = enable_question_noise(model, source.router_noise_seed)
    if source.pruning is not None:
        prune(model, source.pruning, source.name)
    return model, processor


def _check_memory(source: "ModelSource") -> None:
    """Too little memory is said now: later the system may end the process."""
    try:
        weights = weights_of(laid_out(source.config))
    except UserError:  # if the model cannot be loaded either, loading says why
        return
    place, there, everywhere = free_memory(source.torch_device, source.device_map)
    check_fits(source.name, weights, source.torch_dtype.itemsize, source.quantize, place, there, everywhere)


def _where_to(source: "ModelSource") -> dict[str, Any]:
    """Arguments of `from_pretrained` for weights that are quantised or spread over devices."""
    options: dict[str, Any] = {"device_map": source.device_map or {"": source.torch_device}}
    if source.quantize is not None:
        options |= quantization_options(source.quantize, laid_out(source.config))
    return options


def load_processor(source: "ModelSource") -> Any:
    """The processor, with the chat template that is used; see `ModelSource.load_processor`."""
    import moellava  # noqa: F401  (registers its processor with the Auto classes)
    from moe_eval.engine.processors import load_processor

    check_architecture(source.name, source.config, source.trust_remote_code)
    try:
        processor = source.read(
            "its processor", lambda: load_processor(source.folder, source.config, source.trust_remote_code)
        )
    except UserError as error:
        if not any((source.folder / name).is_file() for name in PROCESSOR_FILES):
            raise UserError(
                f"model {source.name} ({source.folder}): has no processor ({' or '.join(PROCESSOR_FILES)}), so nothing prepares "
                "its pictures; copy the files from the model that it was made of"
            ) from error
        raise
    _check_tokenizer(processor, source)
    if source.config.model_type in MODEL_TYPES:
        processor = called_as_newer_ones(processor)
    if source.picture_tokens or source.processor_kwargs:
        _set_up_pictures(processor, source)
    if source.template is not None:
        processor.chat_template = source.template
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is not None and tokenizer.pad_token is None:  # any does: padding is masked
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    check_template(
        processor, f"--chat-template {source.chat_template}" if source.chat_template else f"model {source.name}"
    )
    return processor


def _check_tokenizer(processor: Any, source: "ModelSource") -> None:
    """Where its files are missing, transformers makes one without words."""
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is not None and not any(source.folder.glob("*token*")) and len(tokenizer) < 256:
        raise UserError(
            f"model {source.name} ({source.folder}): has no tokenizer (tokenizer.json); copy its files from the model that it "
            "was made of"
        )


def _set_up_pictures(processor: Any, source: "ModelSource") -> None:
    if not hasattr(processor, "image_processor"):
        raise UserError(f"model {source.name}: {type(processor).__name__} has no settings of pictures; leave them out")
    budget = picture_settings(processor, source.picture_tokens) if source.picture_tokens else {}
    settings = budget | (source.processor_kwargs or {})
    processor.image_processor = with_settings(processor.image_processor, settings)
    if defaults := getattr(
        processor, "images_kwargs", None
    ):  # those of every call, which go before the image processor's
        processor.images_kwargs = defaults | {name: settings[name] for name in settings.keys() & defaults.keys()}
