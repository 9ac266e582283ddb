"""Which architectures are refused before anything is loaded, and why. `docs/models.md` has all of them."""

from typing import Any

from moe_eval.errors import UserError

__all__ = ["REFUSED", "check_architecture", "needs_torchvision"]

CAPTIONS = "has no place for a picture in a prompt: its processor takes one picture beside one text"
ENCODER_DECODER = "encoder and decoder: not what the engines expect"
PART = "part of a larger model: checkpoints hold the whole, which AutoModelForImageTextToText does not load"

REFUSED = {
    "blip": CAPTIONS,
    "cosmos3_omni": "transformers names no processor for it",
    "diffusion_gemma": "fills blocks of text by diffusion: the engines generate token by token",
    "evolla": "proteins, not pictures",
    "florence2": ENCODER_DECODER,
    "fuyu": CAPTIONS,
    "git": CAPTIONS,
    "got_ocr2": "its processor takes one flat list of pictures",
    "instructblipvideo": CAPTIONS,
    "kosmos-2": CAPTIONS,
    "kosmos-2.5": CAPTIONS,
    "mistral4": "reads text only",
    "pix2struct": ENCODER_DECODER,
    "pp_chart2table": "reads charts, with a prompt of its own",
    "pp_formulanet": ENCODER_DECODER,
    "qwen2_5_omni_thinker": PART,
    "qwen3_omni_moe_thinker": PART,
    "shieldgemma2": "classifies pictures: it generates no answers",
    "t5gemma2": ENCODER_DECODER,
    "udop": ENCODER_DECODER,
    "vision-encoder-decoder": ENCODER_DECODER,
}
"""Why, by the `model_type` of the configuration."""


def check_architecture(name: str, config: Any, trust_remote_code: bool = False) -> None:
    """Refuse a model that cannot answer questions about pictures.

    Args:
        name: the model's, for the message.
        trust_remote_code: whether the model comes with code of its own, which may know better.

    Raises:
        UserError: with the reason.
    """
    from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    from transformers.utils import is_torchvision_available

    kind = config.model_type
    if kind in REFUSED:
        raise UserError(
            f"model {name}: architecture {kind} {_sentence(REFUSED[kind])}; docs/models.md has those that run"
        )
    if trust_remote_code:
        return
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise UserError(
            f"model {name}: a model of type {kind!r} answers no questions about pictures: transformers' "
            "AutoModelForImageTextToText has no such type; docs/models.md has those that run"
        )
    if needs_torchvision(config) and not is_torchvision_available():
        raise UserError(
            f"model {name}: architecture {kind}: its pictures need torchvision, which is not installed: "
            "pip install 'moe-llava-eval[vision]'"
        )


def needs_torchvision(config: Any) -> bool:
    """Whether transformers has no image processor for an architecture that does without torchvision."""
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    backends: Any = IMAGE_PROCESSOR_MAPPING_NAMES.get(config.model_type)
    return bool(backends) and "pil" not in backends


def _sentence(reason: str) -> str:
    """A reason behind the architecture's name."""
    return reason if reason.startswith(("has ", "fills ", "reads ", "classifies ")) else f"is refused: {reason}"
