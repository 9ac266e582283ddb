"""Random MoE-LLaVA models and a processor, small enough to build in a test: every backbone with either tower."""

import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, PreTrainedTokenizerFast
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from moellava import MoEConfig, MoELlavaConfig, MoELlavaForConditionalGeneration, MoELlavaProcessor
from moellava.chat_template import chat_template

__all__ = ["BACKBONES", "TOWERS", "picture", "randomize", "tiny_config", "tiny_inputs", "tiny_model", "tiny_processor"]

BACKBONES = ("phi", "stablelm", "qwen2", "llama", "mistral")
TOWERS = ("clip", "siglip")

END = "</s>"
VOCABULARY = (*sorted(pre_tokenizers.ByteLevel.alphabet()), END, "<image>")  # one token per byte
IMAGE_SIZE, PATCH_SIZE = 28, 14


def tiny_config(backbone: str = "llama", tower: str = "clip", layers=(0, 2), text=None, **moe) -> MoELlavaConfig:
    """4 layers of width 32, and a tower of 4 patches; the embedding table has no row for `<image>`.

    Args:
        layers: the sparse ones.
        text: keys of the language model's configuration that shall differ.
        moe: arguments of `MoEConfig`.
    """
    sizes = {"intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4, "max_position_embeddings": 512}
    sizes["num_key_value_heads"] = 2 if backbone in ("qwen2", "llama", "mistral") else 4
    if backbone == "stablelm":
        sizes["use_qkv_bias"] = True
    text_config = AutoConfig.for_model(
        backbone,
        pad_token_id=None,
        **{"hidden_size": 32, "vocab_size": len(VOCABULARY) - 1, **sizes, **(text or {})},
    )
    vision_config = AutoConfig.for_model(
        f"{tower}_vision_model",
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
    )
    return MoELlavaConfig(
        text_config=text_config,
        vision_config=vision_config,
        moe=MoEConfig(layers=list(layers), **moe),
        image_token_index=VOCABULARY.index("<image>"),
        vision_feature_select_strategy="default",
        vision_feature_layer=-2,
    )


def tiny_model(
    backbone: str = "llama", tower: str = "clip", seed: int = 0, **options
) -> MoELlavaForConditionalGeneration:
    """A model of `tiny_config(backbone, tower, **options)` with `randomize`d weights, in float32, for evaluation."""
    model = MoELlavaForConditionalGeneration(tiny_config(backbone, tower, **options))
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = VOCABULARY.index(END)
    return randomize(model, seed).eval()


@torch.no_grad()
def randomize(module: torch.nn.Module, seed: int = 0):
    """Give every parameter, biases and norms included, values that matter; returns the module."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        parameter.normal_(1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.2, generator=generator)
    return module


def tiny_processor(tower: str = "clip", end: str = END) -> MoELlavaProcessor:
    """A processor with byte tokens for the models above."""
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(VOCABULARY)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return MoELlavaProcessor(
        image_processor=LlavaImageProcessorPil(
            size={"shortest_edge": IMAGE_SIZE} if tower == "clip" else {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
            crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
            do_center_crop=tower == "clip",
            do_pad=True,
        ),
        tokenizer=PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            eos_token=END,
            pad_token=END,
            additional_special_tokens=["<image>"],
            padding_side="left",
        ),
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=int(tower == "clip"),
        chat_template=chat_template(end),
    )


def picture(seed: int, size: tuple[int, int] = (40, 28)) -> Image.Image:
    """Coloured noise of `size` (width, height)."""
    width, height = size
    values = torch.randint(0, 256, (height * width * 3,), generator=torch.Generator().manual_seed(seed))
    return Image.frombytes("RGB", size, bytes(values.tolist()))


def tiny_inputs(tower: str, *prompts: str, **options):
    """Model inputs of prompts, with a new picture for every `<image>` in each of them (the first is always the same)."""
    pictures = [picture(seed) for prompt in prompts for seed in range(prompt.count("<image>"))]
    return tiny_processor(tower)(images=pictures or None, text=list(prompts), return_tensors="pt", **options)
