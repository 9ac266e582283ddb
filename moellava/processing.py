"""From messages and pictures to model inputs, exactly as upstream's evaluation makes them."""

from collections.abc import Sequence

from transformers import BatchFeature
from transformers.models.llava.processing_llava import LlavaProcessor

__all__ = ["MoELlavaProcessor"]


class MoELlavaProcessor(LlavaProcessor):
    """Llava's processor with upstream's tokenisation: a prompt is cut at `<image>` and each piece tokenised by itself.

    With sentencepiece every piece gets a leading blank of its own, which one pass over the whole prompt would not
    give. Pictures go through transformers' Llava image processor: padded to a square with the mean colour unless
    `do_pad=False` is passed (upstream evaluates ScienceQA and MM-Vet so), then resized, cropped, normalised.

    Source: MoE-LLaVA `mm_utils.py` `tokenizer_image_token`, `process_images`; spec/checkpoints.md sections 4 and 5.
    """

    def __call__(self, images=None, text: str | Sequence[str] | None = None, **kwargs) -> BatchFeature:
        """Model inputs of a batch of prompts.

        Args:
            images: the pictures of all prompts in order: a picture, a list of pictures, or one list per prompt.
            text: rendered prompts (`apply_chat_template`), one `<image>` per picture.
            kwargs: of the tokenizer (`padding`, `padding_side`, `return_tensors`, ...) and of the image processor
                (`do_pad`, ...).

        Returns:
            `input_ids` and `attention_mask` [batch, sequence] int64, with one image token per row of picture features,
            and `pixel_values` [pictures, 3, height, width] float32 where there are pictures.

        Raises:
            ValueError: a prompt without its pictures or pictures without a prompt.
        """
        if text is None:
            raise ValueError("a prompt is needed: pass text=, rendered by apply_chat_template")
        prompts = [text] if isinstance(text, str) else list(text)
        options = self._merge_kwargs(tokenizer_init_kwargs=self.tokenizer.init_kwargs, **kwargs)
        return_tensors = options["text_kwargs"].pop("return_tensors", None)
        pictures = _flatten(images)
        wanted = sum(prompt.count(self.image_token) for prompt in prompts)
        if wanted != len(pictures):
            raise ValueError(f"{wanted} {self.image_token} in the prompts, but {len(pictures)} pictures")
        data: dict = {}
        patches = 0
        if pictures:
            pixel_values = self.image_processor(pictures, **options["images_kwargs"])["pixel_values"]
            data["pixel_values"] = pixel_values
            patches = self._patches(*pixel_values[0].shape[-2:])
        padding = {
            name: options["text_kwargs"][name]
            for name in ("padding", "max_length", "pad_to_multiple_of", "padding_side")
            if name in options["text_kwargs"]
        }
        encoded = {"input_ids": [self.tokenize(prompt, patches) for prompt in prompts]}
        data |= self.tokenizer.pad(encoded, padding=padding.pop("padding", False), **padding)
        return BatchFeature(data, tensor_type=return_tensors)

    def tokenize(self, prompt: str, patches: int = 1) -> list[int]:
        """Token ids of a rendered prompt, with `patches` image tokens for every `<image>`."""
        input_ids: list[int] = []
        for number, piece in enumerate(prompt.split(self.image_token)):
            input_ids += [self.image_token_id] * (patches if number else 0)
            input_ids += self.tokenizer(piece, add_special_tokens=number == 0)["input_ids"]
        return input_ids

    def _patches(self, height: int, width: int) -> int:
        """Rows of picture features: the patches, and the class token where there is one, minus the row that the
        feature selection "default" drops (a patch, for a tower without class token)."""
        patches = (height // self.patch_size) * (width // self.patch_size) + self.num_additional_image_tokens
        return patches - (self.vision_feature_select_strategy == "default")


def _flatten(images) -> list:
    if images is None:
        return []
    if not isinstance(images, (list, tuple)):
        return [images]
    return [picture for item in images for picture in (_flatten(item) if isinstance(item, (list, tuple)) else [item])]
