"""From prompts as token ids to rows that share a prefix, and to packs of rows that are computed together."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from moe_eval.engine.backend import Request
from moe_eval.engine.likelihood import Tokens
from moe_eval.engine.prefix.budget import Budget

__all__ = ["BRANCH_TOKENS", "Branch", "Pack", "Prompt", "Row", "make_packs", "make_rows"]

BRANCH_TOKENS = 1_024
"""Most tokens of branches in a row: each looks over all of them, so that their cost grows with the square."""


@dataclass(frozen=True)
class Prompt:
    """A question as token ids, pictures expanded to as many tokens as they take.

    Args:
        continuations: of the request, as token ids.
    """

    request: Request
    ids: Sequence[int]
    continuations: Mapping[str, Tokens] = field(default_factory=dict)


@dataclass
class Branch:
    """The end of a prompt that is not shared, and what comes after it: generated tokens, or given ones.

    Args:
        requests: the questions that it answers; several if they are the same, with the same limit.
        ids: token ids after the row's prefix; none where the row has one branch. Of given continuations all tokens but the
            last are among them.
        continuations: whose log-probabilities are wanted; they differ in their last token only. Without
            any, tokens are generated.
        below: the branch of the row whose prompt it goes on from, where that has several drawn answers.
    """

    requests: list[Request]
    ids: list[int]
    continuations: dict[str, Tokens] = field(default_factory=dict)
    generated: list[int] = field(default_factory=list)
    log_probabilities: dict[str, float] = field(default_factory=dict)
    ended: bool = False
    below: int | None = None

    @property
    def limit(self) -> int:
        """Most tokens that are generated."""
        return 0 if self.continuations else self.requests[0].max_new_tokens

    def forks(self, number: int) -> "list[Branch]":
        """A branch per request, where several draw answers of their own; `number` is this branch's in its row."""
        if self.continuations or len(self.requests) == 1 or not self.requests[0].temperature:
            return []
        return [Branch([request], self.ids, below=number) for request in self.requests]

    @property
    def depth(self) -> int:
        """After how many of its last tokens something is predicted."""
        return max(map(len, self.continuations.values()), default=1)


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

    @property
    def branch_tokens(self) -> int:
        """Tokens of all its branches."""
        return sum(len(branch.ids) for branch in self.branches)

    def halves(self) -> "list[Row]":
        """Two rows with half of the branches that have not ended each, to be begun again; as few as there are.

        Answers that are drawn after one prompt become branches of their own; where it is the whole prefix, requests of one.
        """
        left = [branch for branch in self.branches if not branch.ended]
        if all(not branch.ids for branch in left):
            requests = [request for branch in left for request in branch.requests]
            halves = [requests[: len(requests) // 2], requests[len(requests) // 2 :]]
            return [replace(self, branches=[Branch(half, [])]) for half in halves if half]
        again = [Branch(branch.requests, branch.ids, branch.continuations) for branch in left]
        parts = [again[: len(again) // 2], again[len(again) // 2 :]]
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
        self.kind = (preparation, shapes, tuple(self.per_token), not self.branches[0].ids)


@dataclass
class Pack:
    rows: list[Row]


def make_rows(prompts: Sequence[Prompt], picture_end: int) -> list[Row]:
    """Rows for prompts about the same pictures.

    Equal prompts with equal limits are one branch. The prefix is everything that all begin with, but for the last token of the shortest: its
    successor is predicted from it. Where the prompts part before the pictures end, nothing is shared, and each is a row.

    Args:
        picture_end: tokens up to the end of the last picture.
    """
    branches = _branches(prompts)
    most = min(len(prompt.ids) for prompt in prompts) - 1
    shared = min(_common_prefix([tuple(branch.ids) for branch in branches]), most)
    if len(branches) == 1 or shared < max(picture_end, 1):
        return [_alone(Row([], [branch])) for branch in branches]
    rows: list[Row] = []
    for branch in branches:
        prefix, branch.ids = branch.ids[:shared], branch.ids[shared:]
        if rows and rows[-1].branch_tokens + len(branch.ids) <= BRANCH_TOKENS:
            rows[-1].branches.append(branch)
        else:
            rows.append(Row(prefix, [branch]))
    return [_alone(row) if len(row.branches) == 1 else row for row in rows]


def _branches(prompts: Sequence[Prompt]) -> list[Branch]:
    """Whole prompts as branches, with all tokens but the last of the continuations that are wanted of them."""
    different: dict[tuple[tuple[int, ...], int, float, Tokens | None], Branch] = {}
    for prompt in prompts:
        request = prompt.request
        # No continuation and one of a single token are not the same: there, nothing is generated.
        stems = {ids[:-1]: None for ids in prompt.continuations.values()} if prompt.continuations else {None: None}
        for stem in stems:
            key = tuple(prompt.ids), request.max_new_tokens, request.temperature, stem
            branch = different.setdefault(key, Branch([], [*prompt.ids, *(stem or ())]))
            branch.requests.append(request)
            branch.continuations |= {words: ids for words, ids in prompt.continuations.items() if ids[:-1] == stem}
    return list(different.values())


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
    return len(rows) * (max(len(row.prefix) for row in rows) + max(row.branch_tokens for row in rows))


def _alone(row: Row) -> Row:
    """One branch needs no fork: it goes into the prefix, but for the tokens after which something is to be predicted,
    if these are several."""
    (branch,) = row.branches
    ids = row.prefix + branch.ids
    fork = len(ids) if branch.depth == 1 else len(ids) - branch.depth
    return Row(ids[:fork], [Branch(branch.requests, ids[fork:], branch.continuations)])


def _common_prefix(sequences: Sequence[tuple[int, ...]]) -> int:
    first, last = min(sequences), max(sequences)  # of sorted sequences, these differ first
    return next(
        (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first)
    )
