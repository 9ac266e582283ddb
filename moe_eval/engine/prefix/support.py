"""Which models the prefix engine may answer for: those that it was tested with, where nothing makes answers depend on it."""

from typing import Any

__all__ = ["TESTED", "sliding_window", "why_not"]

TESTED = (
    *("moe_llava", "llava", "llava_next", "llava_next_video", "llava_onevision", "vipllava", "video_llava"),
    *(
        "idefics2",
        "idefics3",
        "smolvlm",
        "gemma3",
        "internvl",
        "aya_vision",
        "ovis2",
        "qianfan_ocr",
        "hyperclovax_vision_v2",
    ),
    *("deepseek_vl", "deepseek_vl_hybrid"),
    "tinygpt_v",
    *("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "glm4v", "glm4v_moe", "glm46v", "paddleocr_vl"),
)
"""`model_type` of architectures that a test compares with `generate`."""

NEUTRAL = {
    "repetition_penalty": (None, 1.0),
    "no_repeat_ngram_size": (None, 0),
    "encoder_no_repeat_ngram_size": (None, 0),
    "min_length": (None, 0),
    "min_new_tokens": (None, 0),
    "bad_words_ids": (None,),
    "suppress_tokens": (None,),
    "begin_suppress_tokens": (None,),
    "forced_bos_token_id": (None,),
    "forced_eos_token_id": (None,),
    "sequence_bias": (None,),
    "exponential_decay_length_penalty": (None,),
    "guidance_scale": (None, 1.0),
    "stop_strings": (None,),
    "renormalize_logits": (None, False),
}
"""Settings of a generation configuration that change greedy answers, and the values with which they do not."""


def why_not(config: Any, generation: Any) -> str | None:
    """Why a model is better answered by `generate`; None if nothing speaks against this engine.

    Args:
        config: the model's.
        generation: its `GenerationConfig`.
    """
    if config.model_type not in TESTED:
        return f"{config.model_type} is not among the architectures that it was tested with ({', '.join(TESTED)})"
    moe = getattr(config, "moe", None)
    if getattr(moe, "drop_tokens", False):
        return "the experts drop tokens, and which depends on what is computed together"
    rope = getattr(config.get_text_config(), "rope_parameters", None) or {}
    if rope.get("rope_type") in ("dynamic", "longrope"):
        return f"positions are scaled by the length of what is computed together (rope_type {rope['rope_type']})"
    for name, neutral in NEUTRAL.items():
        if getattr(generation, name, None) not in neutral:
            return f"its generation configuration sets {name}"
    return None


def sliding_window(config: Any) -> int | None:
    """How far back some of a model's layers look, if not all the way: longer sequences are left to `generate`, because the
    cache of this engine keeps everything, in another order than that of positions."""
    text = config.get_text_config()
    layers = getattr(text, "layer_types", None)
    window: int | None = getattr(text, "sliding_window", None)
    if layers is not None and "sliding_attention" not in layers:
        return None
    if layers is None and getattr(text, "use_sliding_window", True) is False:
        return None
    return window
