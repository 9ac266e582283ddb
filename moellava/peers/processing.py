"""From messages and pictures to the inputs of the compared systems, whose pictures all become the same number of rows."""

from collections.abc import Sequence
from typing import Any

from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.processing_utils import MultiModalData

from moellava.processing import FlatPicturesProcessor

__all__ = ["FixedRowsProcessor", "stretching_image_processor"]


class FixedRowsProcessor(FlatPicturesProcessor):
    """Every `image_token` of a rendered prompt becomes `num_image_tokens` of them, one per row of picture features.

    Called with `images` (a picture, a list of pictures, or one list per prompt), `text` (rendered prompts) or both, it
    returns `input_ids` and `attention_mask` [batch, sequence] int64 and `pixel_values` [pictures, 3, height, width]
    float32. A text between pictures is tokenised as if it stood alone: the image token must be a special token.

    Args:
        image_processor, tokenizer, chat_template: as in any processor of transformers.
        image_token: what stands for a picture, in the tokenizer's vocabulary.
        num_image_tokens: rows per picture.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        chat_template: Any = None,
        image_token: str = "<image>",
        num_image_tokens: int = 1,
        **kwargs: Any,
    ):
        self.image_token = image_token
        self.image_token_id = tokenizer.convert_tokens_to_ids(image_token)
        self.num_image_tokens = num_image_tokens
        super().__init__(image_processor, tokenizer, chat_template=chat_template)

    def replace_image_token(self, image_inputs: dict, image_idx: int, **kwargs: Any) -> str:
        """What stands in the expanded prompt for a picture."""
        return str(self.image_token) * self.num_image_tokens

    def _get_num_multimodal_tokens(self, image_sizes: Sequence | None = None, **kwargs: Any) -> MultiModalData:
        if image_sizes is None:
            return MultiModalData()
        count = len(image_sizes)
        return MultiModalData(num_image_tokens=[self.num_image_tokens] * count, num_image_patches=[1] * count)


def stretching_image_processor(size: int) -> CLIPImageProcessorPil:
    """A picture stretched to `size` x `size` pixels (bicubic, aspect ignored), with CLIP's mean and deviation."""
    return CLIPImageProcessorPil(size={"height": size, "width": size}, do_center_crop=False)
