"""From prompts as token ids to rows that share a prefix, and to packs of rows that are computed together."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from moe_eval.engine.backend import Request
from moe_eval.engine.prefix.budget import Budget

__all__ = ["BRANCH_TOKENS", "Branch", "Pack", "Row", "make_packs", "make_rows"]

BRANCH_TOKENS = 1_024
"""Most tokens of branches in a row: each looks over all of them, so that their cost grows with the square."""


@dataclass
class Branch:
    """The end of a prompt that is not shared, and what is generated after it.

    Args:
        requests: the questions that it answers; several if they are the same, with the same limit.
        ids: token ids after the row's prefix; none where the row has one branch.
    """

    requests: list[Request]
    ids: list[int]
    generated: list[int] = field(default_factory=list)
    ended: bool = False

    @property
    def limit(self) -> int:
        return self.requests[0].max_new_tokens


@dataclass
class Row:
    """A prefix and the branches below it.

    Args:
        per_token: what the processor gives beside ids for every token of the prefix, [tokens] each.
        pictures: what it gives for the pictures, which lie in the prefix: tensors whose first dimension counts them.
        kind: rows of another kind are not computed together: their pictures differ in shape or preparation.
    """

    prefix: list[int]
    branches: list[Branch]
    per_token: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Any] = field(default_factory=dict)
    kind: Hashable = None

    @property
    def longest(self) -> int:
        """Tokens of its longest prompt and answer."""
        return len(self.prefix) + max(len(branch.ids) + branch.limit for branch in self.branches)

    def halves(self) -> "list[Row]":
        """Two rows with half of the branches that have not ended each, to be begun again; as few as there are."""
        left = [Branch(branch.requests, branch.ids) for branch in self.branches if not branch.ended]
        parts = [left[: len(left) // 2], left[len(left) // 2 :]]
        return [replace(self, branches=part) for part in parts if part]

    def starts_like(self, ids: Sequence[int]) -> bool:
        """Whether a prompt begins with the row's prefix."""
        return list(ids[: len(self.prefix)]) == self.prefix

    def take(self, inputs: Mapping[str, Any], preparation: Hashable) -> None:
        """Keep what a processor has given for a prompt that starts like the row."""
        for name, value in inputs.items():
            if name in ("input_ids", "attention_mask"):
                continue
            if value.shape == inputs["input_ids"].shape:
                self.per_token[name] = value[0, : len(self.prefix)]
            else:
                self.pictures[name] = value
        shapes = tuple((name, value.shape[1:]) for name, value in self.pictures.items())
        self.kind = (preparation, shapes, tuple(self.per_token), len(self.branches) == 1)


@dataclass
class Pack:
    rows: list[Row]


def make_rows(prompts: Sequence[tuple[Request, Sequence[int]]], picture_end: int) -> list[Row]:
    """Rows for prompts about the same pictures.

    Equal prompts with equal limits are one branch. The prefix is everything that all begin with, but for the last token of the shortest: its
    successor is predicted from it. Where the prompts part before the pictures end, nothing is shared, and each is a row.

    Args:
        prompts: requests and token ids, pictures expanded to as many tokens as they take.
        picture_end: tokens up to the end of the last picture.
    """
    same: dict[tuple[tuple[int, ...], int], list[Request]] = {}
    for request, ids in prompts:
        same.setdefault((tuple(ids), request.max_new_tokens), []).append(request)
    different = [(ids, requests) for (ids, _), requests in same.items()]
    shared = min(_common_prefix([ids for ids, _ in different]), min(len(ids) for ids, _ in different) - 1)
    if len(different) == 1 or shared < max(picture_end, 1):
        return [Row(list(ids), [Branch(requests, [])]) for ids, requests in different]
    rows: list[Row] = []
    longest = 0
    for ids, requests in different:
        branch = Branch(requests, list(ids[shared:]))
        longest = max(longest, len(branch.ids))
        if rows and longest * (len(rows[-1].branches) + 1) <= BRANCH_TOKENS:
            rows[-1].branches.append(branch)
        else:
            rows.append(Row(list(ids[:shared]), [branch]))
            longest = len(branch.ids)
    return [_alone(row) if len(row.branches) == 1 else row for row in rows]


def make_packs(rows: Iterable[Row], budget: Budget) -> Iterator[Pack]:
    """Rows of one kind in packs of at most `budget` slots, in order; a row that is larger comes alone.

    Rows with one branch, whose answer begins right after the prefix, are not mixed with others.
    """
    pack: list[Row] = []
    for row in rows:
        if pack and (row.kind != pack[0].kind or _slots([*pack, row]) > budget.slots):
            yield Pack(pack)
            pack = []
        pack.append(row)
    if pack:
        yield Pack(pack)


def _slots(rows: Sequence[Row]) -> int:
    """What a pack of these rows takes, padding included."""
    prefix = max(len(row.prefix) for row in rows)
    blocks = max(len(row.branches) for row in rows)
    return len(rows) * (prefix + blocks * max(len(branch.ids) for row in rows for branch in row.branches))


def _alone(row: Row) -> Row:
    (branch,) = row.branches
    return Row(row.prefix + branch.ids, [Branch(branch.requests, [])])


def _common_prefix(sequences: Sequence[tuple[int, ...]]) -> int:
    first, last = min(sequences), max(sequences)  # of sorted sequences, these differ first
    return next(
        (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first)
    )
