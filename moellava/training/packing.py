"""All conversations of a batch in one row, without padding; attention keeps them apart (`block_attention`).

A row is a sequence of segments. A token sees the earlier tokens of its own segment and, where conversations of one item
share their beginning, that prefix, which is a segment before it. Positions count from the conversation's first token.
The causal-LM loss shifts labels by one within the row. That stays right because no segment's first token is ever learned:
a conversation's first token has nothing before it, and a shared prefix ends two tokens before the first learned one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moellava.training.labels import IGNORED, Conversation

__all__ = ["Packing", "Row", "Segment", "pack", "shared_prefix", "unpacked"]


@dataclass(frozen=True)
class Packing:
    """How conversations are packed.

    Args:
        share_prefix: whether the conversations of one item that begin alike (system text and picture) hold their common
            beginning once. The cross-entropy stays the same; the balancing loss counts the shared tokens once.
    """

    share_prefix: bool = False


@dataclass(frozen=True)
class Segment:
    """Tokens `start` to `end` of a row, which see each other and, where there is one, a prefix [start, end)."""

    start: int
    end: int
    prefix: tuple[int, int] | None = None

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def prefix_length(self) -> int:
        return self.prefix[1] - self.prefix[0] if self.prefix else 0


@dataclass(frozen=True)
class Row:
    """One row of a batch: arrays [tokens] int64, its segments in order, and (example, picture) for every run of image
    tokens, in order."""

    input_ids: np.ndarray
    labels: np.ndarray
    position_ids: np.ndarray
    segments: tuple[Segment, ...]
    pictures: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.input_ids)


def pack(examples: Sequence[Sequence[Conversation]], packing: Packing) -> Row:
    """One row that holds all conversations of all examples, in order."""
    groups = []
    for number, conversations in enumerate(examples):
        if packing.share_prefix and len(conversations) > 1:
            groups.append(_branches(number, conversations, shared_prefix(conversations)))
        else:
            groups += [_branches(number, [conversation], 0) for conversation in conversations]
    return _join(groups)


def unpacked(examples: Sequence[Sequence[Conversation]]) -> list[Row]:
    """One row per conversation, in order."""
    return [_branches(number, [part], 0) for number, parts in enumerate(examples) for part in parts]


def shared_prefix(conversations: Sequence[Conversation]) -> int:
    """Length of the common beginning, cut so that each branch keeps an unlearned token before its first learned one."""
    first = conversations[0]
    length = min(_first_learned(conversation) for conversation in conversations) - 1
    for other in conversations[1:]:
        differs = first.input_ids[:length] != other.input_ids[:length]
        length = int(np.argmax(differs)) if differs.any() else length
    for start, end in first.pictures:
        if start < length < end:
            length = int(start)  # a picture is never cut
    return max(length, 0)


def _first_learned(conversation: Conversation) -> int:
    learned = conversation.labels != IGNORED
    return int(learned.argmax()) if learned.any() else len(learned)


def _branches(number: int, conversations: Sequence[Conversation], shared: int) -> Row:
    """The first `shared` tokens once, and behind them the rest of each conversation."""
    prefix = (0, shared) if shared else None
    parts = [(conversations[0], 0, shared)] if shared else []
    parts += [(conversation, shared, len(conversation)) for conversation in conversations]
    segments, end = [], 0
    for _, first, after in parts:
        segments.append(Segment(end, end + after - first, prefix if end else None))
        end += after - first
    return Row(
        input_ids=np.concatenate([part.input_ids[first:after] for part, first, after in parts]),
        labels=np.concatenate([part.labels[first:after] for part, first, after in parts]),
        position_ids=np.concatenate([np.arange(first, after) for _, first, after in parts]),
        segments=tuple(segments),
        pictures=tuple(
            (number, picture)
            for part, first, after in parts
            for picture, start in enumerate(part.pictures[:, 0].tolist())
            if first <= start < after
        ),
    )


def _join(rows: Sequence[Row]) -> Row:
    """Rows one behind the other."""
    segments, offset = [], 0
    for row in rows:
        segments += [_moved(segment, offset) for segment in row.segments]
        offset += len(row)
    return Row(
        input_ids=np.concatenate([row.input_ids for row in rows]),
        labels=np.concatenate([row.labels for row in rows]),
        position_ids=np.concatenate([row.position_ids for row in rows]),
        segments=tuple(segments),
        pictures=tuple(picture for row in rows for picture in row.pictures),
    )


def _moved(segment: Segment, by: int) -> Segment:
    prefix = segment.prefix and (segment.prefix[0] + by, segment.prefix[1] + by)
    return Segment(segment.start + by, segment.end + by, prefix)
