"""The three kinds of passes over a pack: its prefixes, its branches, and one token per open branch and step.

All go through the model's own `forward`, with explicit positions and masks, and a `DynamicCache`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from transformers import DynamicCache

from moe_eval.engine.likelihood import log_probability
from moe_eval.engine.prefix.layout import NOTHING, laid_out
from moe_eval.engine.prefix.packing import Branch, Pack, Row
from moe_eval.engine.prefix.positions import Positions
from moe_eval.engine.prefix.routes import Routes
from moe_eval.engine.prefix.slots import PADDING, Slots
from moe_eval.engine.sampling import perturbed

__all__ = ["answer_pack"]


@torch.no_grad()
def answer_pack(
    model: Any,
    pack: Pack,
    inputs: Mapping[str, Any],
    stops: frozenset[int],
    routes: Routes | None = None,
    on_rows: Callable[[Sequence[Row]], None] = lambda rows: None,
) -> Iterator[tuple[int, Branch]]:
    """Generate below every row of a pack, or measure what is given; a branch comes, with its row's number, when it has ended.

    Branches whose requests each draw an answer get further branches, one per request, that go on from them.

    Args:
        inputs: of the prefix pass: `input_ids` and `attention_mask` [rows, tokens], padded on the left, the pictures, and
            whatever else the processor gives for them.
        stops: ids after which a branch has ended.
        routes: where each pass leaves what the routers chose.
        on_rows: called with the rows that the next passes compute, before the first pass and when they become fewer.
    """
    valid = inputs["attention_mask"].bool()
    slots, cache, positions = Slots(valid), DynamicCache(), Positions(model, inputs)
    alone = all(not branch.ids for row in pack.rows for branch in row.branches)
    on_rows(pack.rows)
    output = model(
        **inputs,
        position_ids=positions.of_prefix,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    if routes is not None:
        routes.note(inputs["input_ids"], slots.owner)
    rows = list(range(len(pack.rows)))
    # [rows, branches, depth, vocabulary]
    logits = output.logits[:, :, None] if alone else _branch_pass(model, pack, cache, slots, positions, routes)
    open_ones = [_fork(row) for row in pack.rows]
    places = [[_prompt_of(row, name) for name in names] for row, names in zip(pack.rows, open_ones, strict=True)]
    while True:
        chosen = logits[:, :, -1].argmax(-1).tolist()
        still_open = []
        for number, (row, names) in enumerate(zip(rows, open_ones, strict=True)):
            left = []
            for place, name in zip(places[number], names, strict=True):
                branch = pack.rows[row].branches[name]
                if branch.continuations:
                    branch.log_probabilities = _measured(branch, logits[number, place])
                elif branch.requests[0].temperature:
                    drawn = perturbed(logits[number, place, -1], branch.requests[0], len(branch.generated))
                    branch.generated.append(int(drawn.argmax()))
                else:
                    branch.generated.append(chosen[number][place])
                if len(branch.generated) >= branch.limit or branch.generated[-1] in stops:
                    branch.ended = True
                    yield row, branch
                else:
                    left.append(name)
            still_open.append(left)
        open_ones = still_open
        if not any(open_ones):
            return
        rows, open_ones = _drop_finished(rows, open_ones, cache, slots, positions, routes)
        on_rows([pack.rows[row] for row in rows])
        logits = _step(model, pack, rows, open_ones, cache, slots, positions, routes)
        places = [list(range(len(names))) for names in open_ones]


def _fork(row: Row) -> list[int]:
    """Numbers of a row's branches that go on; those that fork have ended themselves."""
    for number, branch in enumerate(list(row.branches)):
        forks = branch.forks(number)
        branch.ended = bool(forks)
        row.branches += forks
    return [number for number, branch in enumerate(row.branches) if not branch.ended]


def _prompt_of(row: Row, number: int) -> int:
    """The branch with the prompt that a branch goes on from: mostly itself."""
    below = row.branches[number].below
    return number if below is None else below


def _measured(branch: Branch, logits: torch.Tensor) -> dict[str, float]:
    """Log-probabilities of a branch's continuations, from logits [depth, vocabulary]."""
    return {words: log_probability(logits[-len(ids) :], ids) for words, ids in branch.continuations.items()}


def _branch_pass(
    model: Any, pack: Pack, cache: Any, slots: Slots, positions: Positions, routes: Routes | None
) -> torch.Tensor:
    """All branches of all rows at once; logits after the last tokens of each, [rows, branches, depth, vocabulary].

    The last tokens of all branches stand together at the end of a row, so that logits are wanted at the same places of every row; before
    them what branches have beside, one after the other.
    """
    depth = max(branch.depth for row in pack.rows for branch in row.branches)
    count = max(len(row.branches) for row in pack.rows)
    rows = [laid_out(row, count, depth) for row in pack.rows]
    length = max(map(len, rows))
    tokens = torch.tensor([[NOTHING] * (length - len(row)) + row for row in rows], device=model.device)
    ids, owner, places = tokens.unbind(-1)
    logits = _forward(model, ids, owner, positions.below(places), cache, slots, routes, keep=count * depth)
    return logits.unflatten(1, (count, depth))


def _step(
    model: Any,
    pack: Pack,
    rows: list[int],
    open_ones: list[list[int]],
    cache: Any,
    slots: Slots,
    positions: Positions,
    routes: Routes | None,
) -> torch.Tensor:
    """The last token of every open branch; logits after it, [rows, open branches, 1, vocabulary]."""
    count = max(map(len, open_ones))
    ids = torch.zeros(len(rows), count, dtype=torch.long)
    owner, below, places = torch.full_like(ids, PADDING), torch.full_like(ids, PADDING), torch.zeros_like(ids)
    for number, (row, names) in enumerate(zip(rows, open_ones, strict=True)):
        for place, name in enumerate(names):
            branch = pack.rows[row].branches[name]
            ids[number, place] = branch.generated[-1]
            owner[number, place] = name
            below[number, place] = _prompt_of(pack.rows[row], name)
            places[number, place] = len(pack.rows[row].prefix) + len(branch.ids) + len(branch.generated) - 1
    ids, owner, below, places = (tensor.to(model.device) for tensor in (ids, owner, below, places))
    return _forward(model, ids, owner, positions.below(places), cache, slots, routes, below=below)[:, :, None]


def _forward(
    model: Any,
    ids: torch.Tensor,
    owner: torch.Tensor,
    positions: torch.Tensor,
    cache: Any,
    slots: Slots,
    routes: Routes | None,
    keep: int = 0,
    below: torch.Tensor | None = None,
) -> torch.Tensor:
    mask = slots.write(owner, model.dtype, below)
    kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or ())
    output = model(
        input_ids=ids,
        position_ids=positions,
        attention_mask=dict.fromkeys(kinds, mask) if len(kinds) > 1 else mask,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=keep,
    )
    if routes is not None:
        routes.note(ids, owner)
    return output.logits


def _drop_finished(
    rows: list[int],
    open_ones: list[list[int]],
    cache: Any,
    slots: Slots,
    positions: Positions,
    routes: Routes | None,
) -> tuple[list[int], list[list[int]]]:
    """Take rows without open branches out of the cache, once they are half of it: a copy is not free, either."""
    alive = [place for place, names in enumerate(open_ones) if names]
    if 2 * len(alive) > len(rows):
        return rows, open_ones
    kept = torch.tensor(alive, device=slots.owner.device)
    cache.batch_select_indices(kept)
    slots.keep(kept)
    positions.keep(kept)
    if routes is not None:
        routes.keep([rows[place] for place in alive])
    return [rows[place] for place in alive], [open_ones[place] for place in alive]
