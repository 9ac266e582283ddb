"""Tiny IDEFICS, InstructBLIP and BLIP-2 with random weights, in folders as the hub has them: without a chat template."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.idefics.image_processing_pil_idefics import IdeficsImageProcessorPil

from tests.tiny_sparse import byte_tokenizer

__all__ = ["FIRST_GENERATION", "ONE_PICTURE", "write_tiny_first_generation"]

LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2}
SIZES = {"hidden_size": 32, "intermediate_size": 48, **LAYERS}
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
OPT = {
    "model_type": "opt",
    "hidden_size": 32,
    "ffn_dim": 48,
    "word_embed_proj_dim": 32,
    "vocab_size": 320,
    **LAYERS,
    **IDS,
}
T5 = {
    **{"model_type": "t5", "d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2, "vocab_size": 320},
    **{"pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 0},
}
BLIP: dict[str, Any] = {
    "vision_config": {**SIZES, "image_size": 16, "patch_size": 4},
    "qformer_config": {**SIZES, "vocab_size": 320, "encoder_hidden_size": 32, "pad_token_id": 0},
    "num_query_tokens": 4,
    "image_token_index": 3,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "idefics": {
        **SIZES,
        **IDS,
        "vocab_size": 320,
        "cross_layer_interval": 1,
        "use_resampler": True,
        "vision_config": {
            **{"embed_dim": 32, "image_size": 16, "patch_size": 4, "intermediate_size": 48},
            **LAYERS,
        },
        "perceiver_config": {
            **{"resampler_n_latents": 4, "resampler_depth": 1, "resampler_n_heads": 2, "resampler_head_dim": 8},
        },
    },
    "instructblip": {**BLIP, "text_config": {**SIZES, **IDS, "model_type": "llama", "vocab_size": 320}},
    "instructblip-t5": {**BLIP, "text_config": T5},
    "blip-2": {**BLIP, "text_config": OPT},
    "blip-2-t5": {**BLIP, "text_config": T5},
}
FIRST_GENERATION = tuple(CONFIGS)
ONE_PICTURE = tuple(name for name in CONFIGS if name != "idefics")


def write_tiny_first_generation(name: str, folder: Path, instruct: bool = False) -> Path:
    """A folder with model and processor.

    Args:
        name: of `FIRST_GENERATION`.
        instruct: whether IDEFICS's tokenizer knows the end of an utterance.
    """
    torch.manual_seed(0)
    config = AutoConfig.for_model(name.removesuffix("-t5"), **CONFIGS[name])
    AutoModelForImageTextToText.from_config(config).save_pretrained(folder)
    if name == "idefics":
        special = ("<fake_token_around_image>", "<image>", *(["<end_of_utterance>"] if instruct else []))
        byte_tokenizer(special, {}).save_pretrained(folder)
        IdeficsImageProcessorPil(image_size=16).save_pretrained(folder)
        (folder / "processor_config.json").write_text("{}")
        return folder
    byte_tokenizer(("<image>",), {}).save_pretrained(folder)
    BlipImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    (folder / "processor_config.json").write_text('{"num_query_tokens": 4}')
    if name.startswith("instructblip"):
        byte_tokenizer((), {}).save_pretrained(folder / "qformer_tokenizer")
    return folder
