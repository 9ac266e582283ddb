"""Architectures of transformers with random weights, each small enough to build in a test, with a processor made offline."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tests.tiny_llava import save_tiny_llava

__all__ = ["ARCHITECTURES", "save_tiny"]

VISION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL = {"initializer_range": 0.3}


def template(image: str) -> str:
    """A chat template in which a picture is `image`."""
    return (
        "{% for message in messages %}USER: {% for item in message['content'] %}"
        "{{ '" + image + "\n' if item['type'] == 'image' else item['text'] }}{% endfor %} {% endfor %}ASSISTANT:"
    )


def tokenizer(*special: str, **named: str) -> tuple[Any, dict[str, int]]:
    """One of bytes, with special tokens; and the ids of all."""
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*alphabet, "</s>", *special])}
    plain = Tokenizer(models.BPE(vocabulary, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=plain,
        eos_token="</s>",
        pad_token="</s>",
        additional_special_tokens=list(special),
        **({"extra_special_tokens": named} if named else {}),
    )
    return fast, vocabulary


def save_llava_next(folder: Path) -> None:
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextImageProcessor,
        LlavaNextProcessor,
    )

    fast, ids = tokenizer("<image>")
    grid = [[28, 56], [56, 28]]
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(**VISION, image_size=28, patch_size=14),
        text_config=LlamaConfig(**TEXT, **SMALL, vocab_size=len(ids), eos_token_id=ids["</s>"]),
        image_token_index=ids["<image>"],
        image_grid_pinpoints=grid,
    )
    _save(folder, LlavaNextForConditionalGeneration(config), ids)
    LlavaNextProcessor(
        image_processor=LlavaNextImageProcessor(
            size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, image_grid_pinpoints=grid
        ),
        tokenizer=fast,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template("<image>"),
    ).save_pretrained(folder)


def save_idefics3(folder: Path) -> None:
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
        LlamaConfig,
    )

    fast, ids = tokenizer("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
    config = Idefics3Config(
        vision_config={**VISION, "image_size": 28, "patch_size": 7},
        text_config=LlamaConfig(**TEXT, **SMALL, vocab_size=len(ids), eos_token_id=ids["</s>"]).to_dict(),
        image_token_id=ids["<image>"],
        scale_factor=2,
        pad_token_id=ids["</s>"],
    )
    _save(folder, Idefics3ForConditionalGeneration(config), ids)
    Idefics3Processor(
        image_processor=Idefics3ImageProcessor(size={"longest_edge": 56}, max_image_size={"longest_edge": 28}),
        tokenizer=fast,
        image_seq_len=4,
        chat_template=template("<image>"),
    ).save_pretrained(folder)


def save_gemma3(folder: Path) -> None:
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessor,
        Gemma3Processor,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    fast, ids = tokenizer(
        "<start_of_image>",
        "<end_of_image>",
        "<image_soft_token>",
        boi_token="<start_of_image>",
        eoi_token="<end_of_image>",
        image_token="<image_soft_token>",
    )
    text = {**TEXT, "num_key_value_heads": 2, "head_dim": 16, "sliding_window": 512, **SMALL}
    config = Gemma3Config(
        vision_config=SiglipVisionConfig(**VISION, image_size=28, patch_size=7).to_dict(),
        text_config=Gemma3TextConfig(
            **text,
            vocab_size=len(ids),
            layer_types=["sliding_attention", "full_attention"],
            eos_token_id=ids["</s>"],
            pad_token_id=ids["</s>"],
        ).to_dict(),
        mm_tokens_per_image=4,
        image_token_index=ids["<image_soft_token>"],
        boi_token_index=ids["<start_of_image>"],
        eoi_token_index=ids["<end_of_image>"],
    )
    _save(folder, Gemma3ForConditionalGeneration(config), ids)
    Gemma3Processor(
        image_processor=Gemma3ImageProcessor(size={"height": 28, "width": 28}),
        tokenizer=fast,
        image_seq_length=4,
        chat_template=template("<start_of_image>"),
    ).save_pretrained(folder)


def _save(folder: Path, model: Any, ids: dict[str, int]) -> None:
    model.generation_config.eos_token_id = ids["</s>"]
    model.save_pretrained(folder)


ARCHITECTURES: dict[str, Callable[[Path], Any]] = {
    "llava": save_tiny_llava,
    "llava_next": save_llava_next,
    "idefics3": save_idefics3,
    "gemma3": save_gemma3,
}
"""`model_type` → what writes configuration, weights and processor into a folder."""


def save_tiny(architecture: str, folder: Path) -> Path:
    """A model of that architecture, the same for the same name, in `folder`."""
    import torch

    torch.manual_seed(0)
    ARCHITECTURES[architecture](folder)
    return folder
