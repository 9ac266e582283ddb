"""The data set that the trainer reads: items of several files as conversations and prepared pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from moe_eval.images import to_rgb
from moellava.processing import MoELlavaProcessor
from moellava.training.errors import TrainingError
from moellava.training.files import DataFile, ItemFile, scan
from moellava.training.labels import IGNORED, Conversation, Encoder, images_first, split_rounds
from moellava.training.samples import Item, Problem, Report, parse_item

__all__ = ["ConversationDataset", "Example"]

CACHE_BYTES = 1 << 28  # per process, for tokenised items


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
        split_rounds: whether the rounds of an item become conversations of their own (see `labels.split_rounds`); "all":
            of text, too.
        pad_images: pad pictures to a square (stages 2 and 3), or crop the centre (stage 1).
        images_first: move `<image>` to the front of its turn, as LLaVA does and MoE-LLaVA does not.

    Attributes:
        lengths: words per item, negative for items without pictures, as upstream counts.

    Raises:
        TrainingError: a file that is missing or no JSON list, or a template that cannot be used.
    """

    def __init__(
        self,
        files: Sequence[DataFile],
        processor: MoELlavaProcessor,
        template: str | None,
        max_length: int,
        split_rounds: bool | Literal["all"] = False,
        pad_images: bool = True,
        images_first: bool = False,
    ):
        self.encoder = Encoder(processor, template, max_length)
        self.split_rounds, self.pad_images, self.images_first = split_rounds, pad_images, images_first
        self.report = Report()
        self.lengths: list[int] = []
        self._files: list[ItemFile] = []
        for file in files:
            positions = []
            for number, (start, end, raw) in enumerate(scan(file.path)):
                item = parse_item(raw, file, number, self.encoder.plain, self.report)
                if item is not None and self._is_learnable(item):
                    positions.append((number, start, end))
                    self.lengths.append(max(item.words, 1) * (1 if item.images else -1))
            self._files.append(ItemFile(file, positions))
        self._starts = np.cumsum([0] + [len(file) for file in self._files])
        self._cache: dict[int, tuple[Conversation, ...]] = {}
        self._cache_room = CACHE_BYTES

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Example:
        item = self.item(index)
        return Example(item.id, self._conversations(index, item), self._pixel_values(item))

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_cache": {}, "_cache_room": CACHE_BYTES}

    def item(self, index: int) -> Item:
        """The item as it was checked.

        Raises:
            IndexError, TrainingError: there is no such item; its file has changed since it was checked.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        place = int(np.searchsorted(self._starts, index, side="right")) - 1
        file = self._files[place]
        number, raw = file[index - int(self._starts[place])]
        item = parse_item(raw, file.file, number, self.encoder.plain, Report())
        if item is None:
            raise TrainingError(f"{file.file.path}: item {number} or its pictures changed since training began")
        return item

    def _conversations(self, index: int, item: Item) -> tuple[Conversation, ...]:
        """Tokenised once, as far as memory is set aside for it."""
        if index in self._cache:
            return self._cache[index]
        conversations = tuple(self.encoder(part) for part in self._parts(item))
        size = sum(part.input_ids.nbytes + part.labels.nbytes for part in conversations)
        if size <= self._cache_room:
            self._cache[index] = conversations
            self._cache_room -= size
        return conversations

    def _parts(self, item: Item) -> tuple[Item, ...]:
        item = images_first(item) if self.images_first else item
        return split_rounds(item, text_too=self.split_rounds == "all") if self.split_rounds else (item,)

    def _is_learnable(self, item: Item) -> bool:
        """Whether something is left to learn after cutting; cutting, and what the original would lose, is reported."""
        if self.encoder.original_blanks(images_first(item) if self.images_first else item, llava=self.images_first):
            self.report.add(Problem.BLANKED, item.id)
        parts = self._parts(item)
        # A token holds at least a byte, so that only long texts need to be counted in tokens.
        if max(len(self.encoder.render(part)[0].encode()) for part in parts) + 2 <= self.encoder.max_length:
            return True
        lengths = [self.encoder.count(part) for part in parts]
        if max(lengths) > self.encoder.max_length:
            self.report.add(Problem.TOO_LONG, item.id, f"{max(lengths):,} tokens")
            if not any((self.encoder(part).labels != IGNORED).any() for part in parts):
                self.report.add(Problem.NO_ANSWER, item.id, f"all of it lies beyond {self.encoder.max_length:,} tokens")
                return False
        return True

    def _pixel_values(self, item: Item) -> torch.Tensor | None:
        if not item.images:
            return None
        pictures = []
        for path in item.images:
            try:
                with Image.open(path) as picture:
                    pictures.append(to_rgb(picture))
            except Exception as error:  # Pillow's decoders raise many kinds: OSError, SyntaxError, RuntimeError, …
                raise TrainingError(f"{item.id}: {path} cannot be read: {error}") from error
        options = {"do_pad": self.pad_images, "return_tensors": "pt"}
        return self.encoder.processor.image_processor(pictures, **options)["pixel_values"]
