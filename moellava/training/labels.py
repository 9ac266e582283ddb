"""From an item to token ids and labels, equal to the original preprocessing.

What the chat template adds to the prompt for an answer when the answer is there is learned, everything else is not: no
arithmetic on token counts as in the original, and right for every chat template that grows turn by turn.
Source of what must match: MoE-LLaVA `train.py` `preprocess_v1`, `preprocess_plain`; spec/training.md section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from moellava.processing import MoELlavaProcessor
from moellava.training.errors import TrainingError
from moellava.training.samples import IMAGE_TOKEN, Item, Turn

__all__ = ["IGNORED", "Conversation", "Encoder", "images_first", "split_rounds"]

IGNORED = -100


@dataclass(frozen=True)
class Conversation:
    """One conversation as the model reads it.

    Args:
        input_ids: [sequence] int64, every picture one run of image tokens.
        labels: [sequence] int64, the ids that are learned, -100 elsewhere and at the first token, which nothing predicts.
        pictures: [pictures, 2] int64, first position of each run of image tokens and the position after its last.
    """

    input_ids: np.ndarray
    labels: np.ndarray
    pictures: np.ndarray

    def __len__(self) -> int:
        return len(self.input_ids)


def split_rounds(item: Item, text_too: bool = False) -> tuple[Item, ...]:
    """One single-turn item per round of an item whose pictures all stand in its first question.

    Later rounds get the pictures in front, one line each, as a single question has them. An item with pictures in later
    turns stays whole, and one without pictures unless `text_too`: its rounds need each other.
    """
    whole = item.turns[0].value.count(IMAGE_TOKEN) != len(item.images) or not (item.images or text_too)
    if whole or len(item.turns) == 2:
        return (item,)
    front = f"{IMAGE_TOKEN}\n" * len(item.images)
    rounds = [item.turns[i : i + 2] for i in range(0, len(item.turns), 2)]
    later = [(Turn("human", front + question.value), answer) for question, answer in rounds[1:]]
    return tuple(replace(item, turns=tuple(turns)) for turns in (rounds[0], *later))


def images_first(item: Item) -> Item:
    """`<image>` moved to the front of its turn, on a line of its own, as LLaVA does (MoE-LLaVA leaves it in place).

    Source: LLaVA `train.py` `preprocess_multimodal`.
    """
    return replace(item, turns=tuple(_image_first(turn) for turn in item.turns))


def _image_first(turn: Turn) -> Turn:
    count = turn.value.count(IMAGE_TOKEN)
    if not count:
        return turn
    text = turn.value.replace(IMAGE_TOKEN, "").strip()
    return replace(turn, value=(f"{IMAGE_TOKEN}\n" * count + text).strip())


class Encoder:
    """Makes conversations of items with a processor's tokenizer and chat template.

    Args:
        processor: its tokenizer must be a fast one (it tells where in the text a token stands).
        template: "plain" (stage 1: pictures, caption, newline) or None, the chat template saved with the processor.
        max_length: ids kept, a picture counting as one, as upstream counts (a row can be longer by the pictures' rows).

    Raises:
        TrainingError: an unknown template, a tokenizer or chat template that cannot be used.
    """

    def __init__(self, processor: MoELlavaProcessor, template: str | None, max_length: int):
        if template not in (None, "plain"):
            raise TrainingError(f"template {template!r} is not known: plain, or none for the processor's chat template")
        if not processor.tokenizer.is_fast:
            raise TrainingError(f"{type(processor.tokenizer).__name__} is a slow tokenizer; labels need a fast one")
        if template is None and not processor.chat_template:
            raise TrainingError(
                "the processor has no chat template: save one with it (moellava.chat_template), or use plain"
            )
        self.processor, self.plain, self.max_length = processor, template == "plain", max_length
        (self.patches,) = processor._get_num_multimodal_tokens(image_sizes=[(8, 8)])["num_image_tokens"]
        self._cache()

    def __call__(self, item: Item) -> Conversation:
        """Ids and labels of an item, cut to `max_length` and with its pictures expanded."""
        text, answers = self.render(item)
        ids, labels = self._label(text, answers)
        return self._expand(ids[: self.max_length], labels[: self.max_length])

    def count(self, item: Item) -> int:
        """Ids of an item before it is cut, a picture counting as one."""
        return len(self._label(*self.render(item))[0])

    def render(self, item: Item) -> tuple[str, list[tuple[int, int]]]:
        """The text of an item and, of each answer, the first character that is learned and the one after the last."""
        if self.plain:
            front, caption = IMAGE_TOKEN * len(item.images), "".join(turn.value for turn in item.turns[1::2]) + "\n"
            return front + caption, [(len(front), len(front) + len(caption))]
        between, learned = self._frame(len(item.turns))
        text, answers = between[0], []
        for number, turn in enumerate(item.turns):
            if number % 2:
                before, after = learned[number // 2]
                answers.append((len(text) - before, len(text) + len(turn.value) + after))
            text += turn.value + between[number + 1]
        return text, answers

    def original_blanks(self, item: Item, llava: bool = False) -> bool:
        """Whether the original would have set all labels of this item to -100, with a warning at most.

        It cuts the text at the end marker and at "ASSISTANT: " and adds up the lengths of the parts; it gives up where
        one of them stands in a turn, an answer is empty, the padding token occurs, or (`llava`: LLaVA corrects this)
        the tokenizer takes rounds apart differently when they stand alone.
        """
        if self.plain:
            return False
        between, learned = self._frame(len(item.turns))
        end, answer_mark = between[2][: learned[0][1]], between[1]
        values = [turn.value for turn in item.turns]
        if not end or not all(values[1::2]) or any(end in value for value in values):
            return bool(end)
        rounds = self.render(item)[0].split(end)[:-1]
        return (
            any(text.count(answer_mark) != 1 for text in rounds)
            or any(str(self.processor.tokenizer.pad_token) in value for value in values)
            or (len(rounds) > 1 and not llava and not self._rounds_add_up)
        )

    @cached_property
    def _rounds_add_up(self) -> bool:
        """Whether two rounds have as many tokens alone, counted as the original counts, as together."""
        item = Item("", tuple(Turn(role, "Is it?") for role in ("human", "gpt") * 2))
        text, answers = self.render(item)
        (first_end, second_end), size = (end for _, end in answers), self._frame(2)[1][0][1]
        rounds = [text[: first_end - size], text[first_end : second_end - size]]

        def count(text: str, first: bool = False) -> int:
            return len(self._tokenize(text, first)[0])

        return count(text, True) == count("", True) + sum(count(one) + 1 for one in rounds)

    def _render_frame(self, turns: int) -> tuple[list[str], list[tuple[int, int]]]:
        """What the chat template writes around that many turns, and how much of it belongs to each answer.

        The template is rendered with a mark for every turn, once per answer as a prompt for it and once with it: what
        comes between the prompt and the next turn is learned.

        Raises:
            TrainingError: a template that changes what a turn says, or earlier turns when one is added.
        """
        marks = [f" \n\0{number}\0 \n" for number in range(turns)]  # blanks outside: a template may strip
        messages = [{"role": ("user", "assistant")[n % 2], "content": mark} for n, mark in enumerate(marks)]
        text = self.processor.apply_chat_template(messages)
        between, rest = [], text
        for mark in marks:
            literal, found, rest = rest.partition(mark)
            if not found:
                raise TrainingError("the chat template changes what a turn says (strips it?); its labels are undefined")
            between.append(literal)
        learned = []
        for end in range(2, turns + 1, 2):
            prompt = self.processor.apply_chat_template(messages[: end - 1], add_generation_prompt=True)
            whole = self.processor.apply_chat_template(messages[:end])
            if not text.startswith(whole) or not whole.startswith(prompt):
                raise TrainingError("the chat template changes earlier turns when one is added; labels are undefined")
            start = whole.index(marks[end - 1])
            learned.append((start - len(prompt), len(whole) - start - len(marks[end - 1])))
        return [*between, rest], learned

    def _label(self, text: str, answers: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
        """Ids with one image token per picture, and labels: a token is learned if it begins within an answer."""
        ids: list[np.ndarray] = []
        starts: list[np.ndarray] = []
        position = 0
        for number, piece in enumerate(text.split(IMAGE_TOKEN)):
            if number:
                ids.append(np.array([self.processor.image_token_id]))
                starts.append(np.array([-1]))  # never learned, even where a picture stands in an answer
                position += len(IMAGE_TOKEN)
            piece_ids, piece_starts = self._tokenize(piece, number == 0)
            ids.append(piece_ids)
            starts.append(piece_starts + position)
            position += len(piece)
        input_ids, begin = np.concatenate(ids), np.concatenate(starts)
        learned = np.zeros(len(input_ids), dtype=bool)
        for first, after in answers:
            learned |= (begin >= first) & (begin < after)
        learned[0] = False
        return input_ids, np.where(learned, input_ids, IGNORED)

    def _tokenize_piece(self, piece: str, first: bool) -> tuple[np.ndarray, np.ndarray]:
        encoded = self.processor.tokenizer.backend_tokenizer.encode(piece, add_special_tokens=first)
        return np.array(encoded.ids, dtype=np.int64), np.array([start for start, _ in encoded.offsets], dtype=np.int64)

    def _expand(self, ids: np.ndarray, labels: np.ndarray) -> Conversation:
        is_image = ids == self.processor.image_token_id
        repeats = np.where(is_image, self.patches, 1)
        ends = repeats.cumsum()[is_image]
        pictures = np.stack([ends - self.patches, ends], axis=1)
        return Conversation(np.repeat(ids, repeats), np.repeat(labels, repeats), pictures)

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._cache()

    def _cache(self) -> None:
        self._tokenize = lru_cache(maxsize=1 << 14)(self._tokenize_piece)  # many questions and beginnings are alike
        self._frame = lru_cache(maxsize=64)(self._render_frame)
