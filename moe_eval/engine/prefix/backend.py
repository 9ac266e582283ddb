"""The backend: requests in, answers out; what questions share is computed once."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from typing import Any

from moe_eval.engine.backend import Answer, Request, Response, Routing, Unanswered
from moe_eval.engine.generate import GenerateBackend, plain_routing, response, stop_ids
from moe_eval.engine.likelihood import most_likely
from moe_eval.engine.models import ModelSource
from moe_eval.engine.prefetch import open_images
from moe_eval.engine.prefix.budget import Budget
from moe_eval.engine.prefix.encoding import Encoder, pack_inputs
from moe_eval.engine.prefix.packing import Branch, Pack, Row, make_packs
from moe_eval.engine.prefix.passes import answer_pack
from moe_eval.engine.prefix.routes import Routes
from moe_eval.engine.prefix.support import sliding_window
from moe_eval.engine.prompting import TooLongError, check_length, thinks_on
from moe_eval.engine.sourced import SourcedBackend
from moe_eval.errors import UserError

__all__ = ["PrefixBackend"]

AHEAD = 64
"""Questions whose pictures are opened before they are asked for."""


class PrefixBackend(SourcedBackend):
    """Greedy or drawn answers, or the likelihood of given ones; the questions about a picture hang as branches below their common
    beginning.

    The model is loaded when the first question comes. Answers come picture by picture.

    Args:
        source: where the model is and how to load it; one that `moe_eval.engine.prefix.support.why_not` has nothing against.
        routing: whether responses say how their tokens were routed.
        slots: of the key-value cache that are computed together; None: as many as fit into memory.
    """

    engine = "prefix"

    def __init__(self, source: ModelSource, routing: bool = False, slots: int | None = None):
        super().__init__(source, routing)
        self._slots = slots
        self._known: dict[str, dict[str, float]] = {}  # log-probabilities by request, until all are there

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answers, those about one picture together; unreadable pictures come when their turn is."""
        groups: dict[Any, list[Request]] = {}
        for request in requests:
            groups.setdefault((request.images, request.pad_images), []).append(request)
        if not groups:
            return
        unanswered: list[Unanswered] = []
        too_long: dict[str, Request] = {}
        packs = make_packs(self._rows(groups, unanswered, too_long), self._budget)
        with ThreadPoolExecutor(1, thread_name_prefix="prepare") as pool:
            waiting = pool.submit(next, packs, None)
            while (pack := waiting.result()) is not None:
                waiting = pool.submit(next, packs, None)  # prepared while the model computes
                yield from self._answer(pack)
                while unanswered:
                    yield unanswered.pop(0)
        yield from unanswered
        if too_long:
            plain = GenerateBackend(self._source, routing=self._routing)
            plain.loaded = self.loaded
            yield from plain.generate(too_long.values())

    def _rows(
        self, groups: dict[Any, list[Request]], unanswered: list[Unanswered], too_long: dict[str, Request]
    ) -> Iterator[Row]:
        """Rows of all groups; what cannot be in one is put aside."""
        encoder, window = Encoder(self.loaded[1], share=not self._is_noisy), sliding_window(self.loaded[0].config)
        for item in open_images((group[0] for group in groups.values()), AHEAD):
            if isinstance(item, Unanswered):
                group = next(group for group in groups.values() if group[0].id == item.id)
                unanswered += [Unanswered(request.id, item.reason) for request in group]
            else:
                first, images = item
                for whole in encoder.rows(groups[first.images, first.pad_images], images):
                    row = _fitting(whole, self.loaded[0].config, unanswered)
                    if not row.branches:
                        continue
                    if window is not None and row.longest > window:
                        too_long |= {request.id: request for branch in row.branches for request in branch.requests}
                    else:
                        yield row

    def _answer(self, pack: Pack) -> Iterator[Response]:
        """Answers of a pack; where memory runs short, what has not ended is begun again in halves, and later packs are
        half as large."""
        import torch

        try:
            yield from self._answer_at_once(pack)
        except torch.OutOfMemoryError as error:
            rows = [half for row in pack.rows for half in row.halves()]
            if sum(len(row.branches) for row in pack.rows) == 1:
                raise UserError(
                    f"{self.loaded[0].device} has too little memory for a single question; what was answered is kept"
                ) from error
            self._budget.halve()
            torch.cuda.empty_cache()
            middle = len(rows) // 2
            for some in filter(None, (rows[:middle], rows[middle:])):
                yield from self._answer(Pack(some))

    def _answer_at_once(self, pack: Pack) -> Iterator[Response]:
        model, processor = self.loaded
        stops = frozenset(stop_ids(model, processor.tokenizer))
        inputs = pack_inputs(pack, model.device, model.dtype)
        with self._routes.watching(len(pack.rows)) if self._routes else nullcontext() as routes:
            for row, branch in answer_pack(model, pack, inputs, stops, routes, self._name_rows):
                if branch.continuations:
                    yield from self._measured(branch)
                    continue
                routing = self._routing_of(pack.rows[row], row, branch, routes) if routes else None
                begun = thinks_on(processor, branch.requests[0])
                answer = response("", branch.generated, stops, processor.tokenizer, begun=begun)
                for request in branch.requests:
                    yield replace(answer, id=request.id, routing=routing)

    def _name_rows(self, rows: Sequence[Row]) -> None:
        """With noise a row is one question's."""
        self.ask([row.branches[0].requests[0].id for row in rows])

    def _measured(self, branch: Branch) -> Iterator[Response]:
        """The responses that are complete with what this branch has of them."""
        for request in branch.requests:
            known = self._known.setdefault(request.id, {})
            known |= {
                words: branch.log_probabilities[words]
                for words in request.continuations
                if words in branch.continuations
            }
            if len(known) == len(set(request.continuations)):
                yield most_likely(request, self._known.pop(request.id))

    def _routing_of(self, row: Row, number: int, branch: Branch, routes: Routes) -> Routing:
        prompt_tokens = len(row.prefix) + len(branch.ids)
        return plain_routing(
            routes, routes.of(number, row.branches.index(branch), branch.below, prompt_tokens), self._token_text
        )

    @cached_property
    def _budget(self) -> Budget:
        return Budget(self._slots) if self._slots else Budget.of(self.loaded[0])

    @cached_property
    def _routes(self) -> Routes | None:
        return Routes(self.loaded[0]) if self._routing else None


def _fitting(row: Row, config: Any, unanswered: list[Unanswered]) -> Row:
    """A row without the branches that the model has too few positions for, which are put aside."""
    lengths: dict[str, int] = {}
    for branch in row.branches:
        for request in branch.requests:  # one whose answers are given may have several branches
            lengths[request.id] = max(lengths.get(request.id, 0), len(row.prefix) + len(branch.ids))
    try:
        check_length(config, lengths)
    except TooLongError as error:
        unanswered += error.unanswered
        long = {item.id for item in error.unanswered}
        return replace(row, branches=[one for one in row.branches if not long & {each.id for each in one.requests}])
    return row
