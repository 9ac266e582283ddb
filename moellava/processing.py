"""From messages and pictures to model inputs, exactly as upstream's evaluation makes them."""

from collections.abc import Sequence
from typing import Any

from PIL import Image
from transformers.image_utils import make_flat_list_of_images
from transformers.models.llava.processing_llava import LlavaProcessor
from transformers.processing_utils import MultiModalData, ProcessingKwargs, ProcessorMixin

__all__ = ["FlatPicturesProcessor", "MoELlavaProcessor"]


class FlatPicturesProcessor(ProcessorMixin):
    """Takes the pictures of all prompts as one list: one per `image_token`, in their order."""

    image_token: str

    def prepare_inputs_layout(self, images: Any = None, text: Any = None, *args: Any, **kwargs: Any):
        """As transformers does it; the pictures of all prompts become one list, None if there are none."""
        if isinstance(images, (list, tuple)):
            images = _flatten(images) or None
        return super().prepare_inputs_layout(images, text, *args, **kwargs)

    def validate_inputs(self, images: Any = None, text: Any = None, *args: Any, **kwargs: Any) -> None:
        """ValueError: nothing to process, a prompt without its pictures, or pictures too many."""
        _check_picture_count(images, text, self.image_token)
        super().validate_inputs(images, text, *args, **kwargs)


class MoELlavaProcessor(FlatPicturesProcessor, LlavaProcessor):
    """Llava's processor with upstream's tokenisation: every stretch of text between pictures as if it stood alone.

    With some sentencepiece tokenizers a stretch gets a leading blank only where a text begins; there a picture's tokens
    are followed by one. Pictures go through transformers' Llava image processor: padded to a square with the mean colour
    unless `do_pad=False` is passed (upstream evaluates ScienceQA and MM-Vet so), then resized, cropped, normalised.

    Called with `images` (a picture, a list of pictures, or one list per prompt), `text` (rendered prompts, one `<image>`
    per picture) or both, and any option of the tokenizer or the image processor, it returns `input_ids` and
    `attention_mask` [batch, sequence] int64, with one image token per row of picture features, and `pixel_values`
    [pictures, 3, height, width] float32.

    Source: MoE-LLaVA `mm_utils.py` `tokenizer_image_token`, `process_images`; spec/checkpoints.md sections 4 and 5.
    """

    def validate_inputs(self, images: Any = None, text: Any = None, *args: Any, **kwargs: Any) -> None:
        """ValueError: a prompt without its pictures or pictures too many; an option that the tokenizer cannot do."""
        super().validate_inputs(images, text, *args, **kwargs)
        offsets = {**kwargs, **kwargs.get("text_kwargs", {})}.get("return_offsets_mapping")
        if text is not None and offsets and not self.tokenizer.is_fast:
            raise ValueError(
                f"return_offsets_mapping: {type(self.tokenizer).__name__} is a slow tokenizer, which does not know where "
                "in the text its tokens stand; load a fast one"
            )

    def get_text_with_replacements(self, text: list[str], *args: Any, **kwargs: Any) -> tuple[list[str], list]:
        """As transformers does it; where the tokenizer needs it, a picture's replacement ends with a blank."""
        expanded: Any = super().get_text_with_replacements(text, *args, **kwargs)
        text, offsets = expanded  # offsets: per text, one dict per picture
        if self._stretches_stand_alone():
            return text, offsets
        for row, replacements in enumerate(offsets):
            added = 0
            for replaced in replacements:
                start, end = (place + added for place in replaced["new_span"])
                blank = "" if text[row].startswith(self._without_blank(), end) or end == len(text[row]) else " "
                text[row] = text[row][:end] + blank + text[row][end:]
                replaced |= {"new_span": (start, end + len(blank)), "replacement": replaced["replacement"] + blank}
                added += len(blank)
        return text, offsets

    def tokenize(self, prompt: str, patches: int = 1) -> list[int]:
        """Token ids of a rendered prompt, with `patches` image tokens for every `<image>`."""
        replacements = [self.image_token * patches] * prompt.count(self.image_token)
        return self.tokenizer(self.get_text_with_replacements([prompt], replacements)[0][0])["input_ids"]

    def _get_num_multimodal_tokens(self, image_sizes: Sequence | None = None, **kwargs: Any) -> MultiModalData:
        """Image tokens of pictures of these sizes (height, width): as many for each, also where nothing is cropped."""
        if image_sizes is None:
            return MultiModalData()
        kind: Any = (
            ProcessingKwargs  # transformers 5.16 wants to be told, and annotates the class as one of its objects
        )
        options = self._merge_kwargs(kind, **kwargs)["images_kwargs"]
        blank = self.image_processor(Image.new("RGB", (8, 8)), **options)
        tokens = self.replace_image_token(blank, 0).count(self.image_token)
        return MultiModalData(num_image_tokens=[tokens] * len(image_sizes), num_image_patches=[1] * len(image_sizes))

    def _stretches_stand_alone(self) -> bool:
        """Whether the tokenizer takes what follows an image token apart as it does a text of its own."""
        alone = self.tokenizer.encode("a", add_special_tokens=False)
        return self.tokenizer.encode(f"{self.image_token}a", add_special_tokens=False) == [self.image_token_id, *alone]

    def _without_blank(self) -> tuple[str, ...]:
        """What stands at the beginning of a text without a leading blank before it: a blank, or a token of its own."""
        return (" ", "▁", *self.tokenizer.get_added_vocab())


def _check_picture_count(images: Any, text: Any, image_token: str) -> None:
    """ValueError: neither pictures nor text, or rendered prompts with more or fewer picture tokens than pictures."""
    if images is None and text is None:
        raise ValueError("nothing to process: pass images=, text= (rendered by apply_chat_template), or both")
    if text is not None and all(isinstance(prompt, str) for prompt in text):
        wanted = sum(prompt.count(image_token) for prompt in text)
        pictures: Any = [] if images is None else make_flat_list_of_images(images)
        if wanted != len(pictures):
            raise ValueError(
                f"{wanted} {image_token} in the prompts, but {len(pictures)} pictures: the number of image "
                "tokens in the prompts should be the same as the number of pictures"
            )


def _flatten(images: Sequence) -> list:
    """The pictures of all prompts in order, of a list that may hold a list per prompt."""
    return [picture for item in images for picture in (_flatten(item) if isinstance(item, (list, tuple)) else [item])]
