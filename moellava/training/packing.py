"""Several conversations in one row, with a mask that keeps them apart.

A row is a sequence of segments. A token sees the earlier tokens of its own segment, and all of the segment's parent, a
prefix that several conversations of one item share. Positions count from the conversation's first token.
The causal-LM loss shifts labels by one within the row. That stays right because no segment's first token is ever learned:
a conversation's first token has nothing before it, and a shared prefix ends two tokens before the first learned one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moellava.training.labels import IGNORED, Conversation

__all__ = ["Packing", "Row", "block_mask", "pack", "shared_prefix", "unpacked"]


@dataclass(frozen=True)
class Packing:
    """How conversations are packed.

    Args:
        max_length: tokens per row. A conversation (or a group with a shared prefix) that is longer gets its own row.
        share_prefix: whether the conversations of one item that begin alike (system text and picture) hold their common
            beginning once. The cross-entropy stays the same; the balancing loss counts the shared tokens once.
    """

    max_length: int
    share_prefix: bool = False


@dataclass(frozen=True)
class Row:
    """One packed row, all arrays [tokens] int64.

    Args:
        segment: which segment a token belongs to, from 0.
        parent: the segment that it sees besides its own (its own where there is none).
        pictures: (example, picture) for every run of image tokens, in order.
    """

    input_ids: np.ndarray
    labels: np.ndarray
    position_ids: np.ndarray
    segment: np.ndarray
    parent: np.ndarray
    pictures: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.input_ids)


def pack(examples: Sequence[Sequence[Conversation]], packing: Packing) -> list[Row]:
    """Rows that hold all conversations of all examples, first-fit decreasing."""
    groups = []
    for number, conversations in enumerate(examples):
        if packing.share_prefix and len(conversations) > 1:
            groups.append(_branches(number, conversations, shared_prefix(conversations)))
        else:
            groups += [_branches(number, [conversation], 0) for conversation in conversations]
    bins: list[list[Row]] = []
    space: list[int] = []
    for group in sorted(groups, key=len, reverse=True):
        place = next((i for i, left in enumerate(space) if left >= len(group)), None)
        if place is None:
            place = len(bins)
            bins.append([])
            space.append(packing.max_length)
        bins[place].append(group)
        space[place] -= len(group)
    return [_join(groups) for groups in bins]


def unpacked(examples: Sequence[Sequence[Conversation]]) -> list[Row]:
    """One row per conversation, in order."""
    return [_branches(number, [part], 0) for number, parts in enumerate(examples) for part in parts]


def shared_prefix(conversations: Sequence[Conversation]) -> int:
    """Length of the common beginning, cut so that each branch keeps an unlearned token before its first learned one."""
    first = conversations[0]
    length = min(
        int(np.argmax(c.labels != IGNORED)) - 1 if (c.labels != IGNORED).any() else len(c) - 1 for c in conversations
    )
    for other in conversations[1:]:
        differs = first.input_ids[:length] != other.input_ids[:length]
        length = int(np.argmax(differs)) if differs.any() else length
    for start, end in first.pictures:
        if start < length < end:
            length = int(start)  # a picture is never cut
    return max(length, 0)


def block_mask(segment: np.ndarray, parent: np.ndarray) -> np.ndarray:
    """[batch, sequence, sequence] bool, True where the row's token may look at the column's.

    Args:
        segment: [batch, sequence], -1 at padding, which sees nothing and which nothing sees.
        parent: [batch, sequence].
    """
    keys = segment[:, None, :]
    sees = (keys == segment[:, :, None]) | (keys == parent[:, :, None])
    sees &= segment[:, :, None] >= 0
    return np.tril(sees)


def _branches(number: int, conversations: Sequence[Conversation], prefix: int) -> Row:
    """A shared prefix of that length and, behind it, the rest of each conversation."""
    first = conversations[0]
    spans = [(first, 0, prefix)] * (prefix > 0) + [
        (conversation, prefix, len(conversation)) for conversation in conversations
    ]
    sizes = [end - start for _, start, end in spans]
    segment = np.repeat(np.arange(len(spans)), sizes)
    pictures = [
        (number, picture)
        for conversation, start, end in spans
        for picture, (begin, _) in enumerate(conversation.pictures)
        if start <= begin < end
    ]
    return Row(
        input_ids=np.concatenate([c.input_ids[start:end] for c, start, end in spans]),
        labels=np.concatenate([c.labels[start:end] for c, start, end in spans]),
        position_ids=np.concatenate([np.arange(start, end) for _, start, end in spans]),
        segment=segment,
        parent=np.zeros_like(segment) if prefix else segment,
        pictures=tuple(pictures),
    )


def _join(rows: Sequence[Row]) -> Row:
    if len(rows) == 1:
        return rows[0]
    offsets = np.cumsum([0] + [int(row.segment.max()) + 1 for row in rows])
    return Row(
        input_ids=np.concatenate([row.input_ids for row in rows]),
        labels=np.concatenate([row.labels for row in rows]),
        position_ids=np.concatenate([row.position_ids for row in rows]),
        segment=np.concatenate([row.segment + offset for row, offset in zip(rows, offsets, strict=False)]),
        parent=np.concatenate([row.parent + offset for row, offset in zip(rows, offsets, strict=False)]),
        pictures=tuple(picture for row in rows for picture in row.pictures),
    )
