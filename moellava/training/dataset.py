"""The data set that the trainer reads: items of several files as conversations and prepared pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from moellava.processing import MoELlavaProcessor
from moellava.training.labels import Conversation, Encoder, images_first, split_rounds
from moellava.training.samples import DataError, DataFile, Item, ItemFile, Report, parse_item

__all__ = ["ConversationDataset", "Example"]


@dataclass(frozen=True)
class Example:
    """One item of the data.

    Args:
        id: file and id of the item.
        conversations: one, or one per round after splitting. Each shows all pictures, in order.
        pixel_values: [pictures, 3, height, width] float32, or None for text.
    """

    id: str
    conversations: tuple[Conversation, ...]
    pixel_values: torch.Tensor | None


class ConversationDataset(Dataset):
    """Items of LLaVA-format files that can be trained on, in the order of the files.

    All items are checked when it is made; `report` says what was found, and those that cannot be trained on are left
    out, so that the caller may stop or go on. A picture that turns out to be unreadable is an error when it is read,
    never another picture (upstream takes a random other item).

    Args:
        files: files and their picture folders.
        processor: tokenizer, chat template and image processor.
        template: "plain" for stage 1, None for the processor's chat template.
        max_length: ids per conversation, a picture counting as one; what is longer is cut.
        split_rounds: whether the rounds of an item become conversations of their own (see `labels.split_rounds`).
        pad_images: pad pictures to a square (stages 2 and 3), or crop the centre (stage 1).
        images_first: move `<image>` to the front of its turn, as LLaVA does and MoE-LLaVA does not.

    Attributes:
        lengths: words per item, negative for items without pictures, as upstream counts.

    Raises:
        DataError: a file that is missing or no JSON list, or a template that cannot be used.
    """

    def __init__(
        self,
        files: Sequence[DataFile],
        processor: MoELlavaProcessor,
        template: str | None,
        max_length: int,
        split_rounds: bool = False,
        pad_images: bool = True,
        images_first: bool = False,
    ):
        self.encoder = Encoder(processor, template, max_length)
        self.split_rounds, self.pad_images, self.images_first = split_rounds, pad_images, images_first
        self.report = Report()
        self._files = [ItemFile(file) for file in files]
        places, lengths = [], []
        for number, file in enumerate(self._files):
            for index in range(len(file)):
                item = parse_item(file[index], file.file, index, self.encoder.plain, self.report)
                if item is not None:
                    self._check_length(item)
                    places.append((number, index))
                    lengths.append(max(item.words, 1) * (1 if item.images else -1))
        self._places = np.array(places, dtype=np.int32).reshape(-1, 2)
        self.lengths: list[int] = lengths
        self._conversations: dict[int, tuple[Conversation, ...]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Example:
        item = self.item(index)
        conversations = tuple(self.encoder(part) for part in self._parts(item))
        return Example(item.id, conversations, self._pixel_values(item))

    def item(self, index: int) -> Item:
        """The item as it was checked."""
        number, position = self._places[index]
        file = self._files[number]
        item = parse_item(file[position], file.file, position, self.encoder.plain, Report())
        assert item is not None, "the file has changed since it was checked"
        return item

    def _parts(self, item: Item) -> tuple[Item, ...]:
        item = images_first(item) if self.images_first else item
        return split_rounds(item) if self.split_rounds else (item,)

    def _check_length(self, item: Item) -> None:
        pass

    def _pixel_values(self, item: Item) -> torch.Tensor | None:
        if not item.images:
            return None
        pictures = []
        for path in item.images:
            try:
                with Image.open(path) as picture:
                    pictures.append(picture.convert("RGB"))
            except OSError as error:
                raise DataError(f"{item.id}: {path} cannot be read: {error}") from error
        options = {"do_pad": self.pad_images, "return_tensors": "pt"}
        return self.encoder.processor.image_processor(pictures, **options)["pixel_values"]
