"""What asking a server costs, and how much it may."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from moe_eval.chat.endpoint import before_another_try
from moe_eval.chat.reply import Reply
from moe_eval.errors import UserError

__all__ = ["Budget", "Cost", "Purse"]


@dataclass(frozen=True)
class Cost:
    """Calls to an endpoint and the tokens that go in and out."""

    calls: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Budget:
    """The most that asking may cost; None: no limit."""

    calls: int | None = None
    tokens: int | None = None

    def excess(self, cost: Cost) -> str | None:
        """Which limit a cost is above, in words."""
        if self.calls is not None and cost.calls > self.calls:
            return f"{cost.calls:,} calls are more than max-calls {self.calls:,}"
        if self.tokens is not None and cost.tokens > self.tokens:
            return f"{cost.tokens:,} tokens are more than max-tokens {self.tokens:,}"
        return None


class Purse:
    """Counts what is paid, and pays no more when the budget is spent. Safe to use from several threads.

    Args:
        role: who is paid, for messages.

    Attributes:
        paid: so far.
    """

    def __init__(self, budget: Budget, role: str):
        self.paid = Cost()
        self._budget = budget
        self._role = role
        self._lock = Lock()

    def pay(self, expected: int, ask: Callable[[], Reply]) -> Reply:
        """What `ask` says, if the budget allows a call of so many tokens; every further try of it is a call, too.

        Raises:
            UserError: when the budget is spent.
        """
        self._add(1, expected)
        counting = before_another_try.set(lambda: self._add(1, 0))
        try:
            reply = ask()
        finally:
            before_another_try.reset(counting)
        self._add(0, reply.prompt_tokens + reply.completion_tokens - expected, check=False)
        return reply

    def _add(self, calls: int, tokens: int, check: bool = True) -> None:
        with self._lock:
            cost = Cost(self.paid.calls + calls, self.paid.tokens + tokens)
            if check and (excess := self._budget.excess(cost)):
                raise UserError(f"{self._role}: the budget is spent: {excess}")
            self.paid = cost
