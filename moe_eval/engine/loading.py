"""The model of a `ModelSource` and its processor, loaded and tried."""

import sys
from typing import TYPE_CHECKING, Any

from moe_eval.engine.adapters import with_adapter
from moe_eval.engine.first_generation import MODEL_TYPES, called_as_newer_ones, set_up_generation
from moe_eval.engine.picture_budget import picture_settings, with_settings
from moe_eval.engine.processing import check_template
from moe_eval.engine.trial import try_out
from moe_eval.errors import UserError

if TYPE_CHECKING:
    from moe_eval.engine.models import ModelSource

__all__ = ["load", "load_processor"]


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
    loaded: Any = source.read(
        "its weights",
        lambda: AutoModelForImageTextToText.from_pretrained(
            source.folder,
            config=config,
            dtype=source.torch_dtype,
            output_loading_info=True,
            trust_remote_code=source.trust_remote_code,
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
    model = model.to(source.torch_device).eval()
    try_out(model, processor, source.name)
    if source.router_noise_seed is not None:
        from moellava.noise import enable_question_noise

        model.question_noise = enable_question_noise(model, source.router_noise_seed)
    return model, processor


def load_processor(source: "ModelSource") -> Any:
    """The processor, with the chat template that is used; see `ModelSource.load_processor`."""
    import moellava  # noqa: F401  (registers its processor with the Auto classes)
    from moe_eval.engine.processors import load_processor

    processor = source.read(
        "its processor", lambda: load_processor(source.folder, source.config, source.trust_remote_code)
    )
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
