"""Many answers through one judge: estimated first, several at a time, within a budget, from the cache where possible."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from threading import Event, Lock

from moe_eval.errors import UserError
from moe_eval.judge.cache import ReplyCache
from moe_eval.judge.endpoint import RefusedError, Reply, guess_tokens
from moe_eval.task import Grade, Judge, JudgeCall, Sample

__all__ = ["Budget", "Cost", "Grades", "estimate", "grade_answers"]


@dataclass(frozen=True)
class Cost:
    """Calls to an endpoint and the tokens that go in and out."""

    calls: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Budget:
    """The most that a judge may cost; None: no limit."""

    calls: int | None = None
    tokens: int | None = None

    def excess(self, cost: Cost) -> str | None:
        """Which limit a cost is above, in words."""
        if self.calls is not None and cost.calls > self.calls:
            return f"{cost.calls:,} calls are more than --max-calls {self.calls:,}"
        if self.tokens is not None and cost.tokens > self.tokens:
            return f"{cost.tokens:,} tokens are more than --max-tokens {self.tokens:,}"
        return None


@dataclass(frozen=True)
class Grades:
    """What judging has given.

    Args:
        grades: by sample id, one per run; without refused answers, where these get no grade.
        paid: calls and tokens.
        refused: by sample id: why the endpoint did not read the answer.
    """

    grades: Mapping[str, tuple[Grade, ...]]
    paid: Cost
    refused: Mapping[str, str]


Job = tuple[Sample, int]
"""A sample and the number of the judge's run, from 0."""


def estimate(judge: Judge, samples: Sequence[Sample], answers: Mapping[str, str], runs: int, cache: ReplyCache) -> Cost:
    """The least that is still to pay: one call for every answer whose dialogue the cache does not hold to its end."""
    calls = tokens = 0
    for sample, run in _jobs(samples, runs):
        dialogue = judge.grade(sample, answers[sample.id])
        place, call = 0, next(dialogue)
        try:
            while reply := cache.find(call, run, place):
                place, call = place + 1, dialogue.send(reply.text)
        except StopIteration:
            continue
        calls += 1
        tokens += guess_tokens(call.prompt) + call.max_tokens
    return Cost(calls, tokens)


def grade_answers(
    judge: Judge,
    samples: Sequence[Sample],
    answers: Mapping[str, str],
    runs: int,
    cache: ReplyCache,
    ask: Callable[[JudgeCall], Reply],
    *,
    budget: Budget = Budget(),
    concurrency: int = 8,
    on_grade: Callable[[], None] = lambda: None,
) -> Grades:
    """Grades of each answer, one per run, and what was paid for them; an answer that is refused holds up no other.

    Args:
        answers: text by sample id.
        ask: the endpoint; called from `concurrency` threads.
        on_grade: called after each dialogue.

    Raises:
        UserError: when the endpoint gives up, refuses every answer, or the budget is spent. What was said until then is in
            the cache.
    """
    purse = _Purse(budget, ask)
    grades: dict[str, list[Grade]] = {sample.id: [0.0] * runs for sample in samples}
    refused: dict[str, str] = {}
    stopped = Event()

    def work(job: Job) -> tuple[Job, Grade | None]:
        sample, run = job
        dialogue = judge.grade(sample, answers[sample.id])
        call, place = next(dialogue), 0
        try:
            while not stopped.is_set():
                reply = cache.get(call, run, place, purse.ask)
                call, place = dialogue.send(reply.text), place + 1
        except StopIteration as done:
            return job, done.value
        except RefusedError as error:
            refused[sample.id] = str(error)
            return job, judge.refused
        except UserError:
            stopped.set()  # here, so that no other thread asks on before the error is seen
            raise
        return job, None

    jobs, done = list(_jobs(samples, runs)), 0
    with ThreadPoolExecutor(concurrency) as pool:
        futures = [pool.submit(work, job) for job in jobs]
        try:
            for future in as_completed(futures):
                (sample, run), grade = future.result()
                if grade is not None:
                    grades[sample.id][run] = grade
                    done += 1
                    on_grade()
        except UserError as error:
            raise UserError(
                f"{error}. {done:,} of {len(jobs):,} gradings are done and kept; the same command goes on"
            ) from error
        finally:
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
    if refused and len(refused) == len(samples):
        raise UserError(f"{next(iter(refused.values()))}. It refused all {len(samples):,} answers")
    without = refused if judge.refused is None else {}
    return Grades({name: tuple(values) for name, values in grades.items() if name not in without}, purse.paid, refused)


class _Purse:
    """Counts what is paid, and pays no more when the budget is spent."""

    def __init__(self, budget: Budget, ask: Callable[[JudgeCall], Reply]):
        self.paid = Cost()
        self._budget = budget
        self._ask = ask
        self._lock = Lock()

    def ask(self, call: JudgeCall) -> Reply:
        reserved = guess_tokens(call.prompt) + call.max_tokens
        self._pay(1, reserved)
        reply = self._ask(call)
        self._pay(0, reply.prompt_tokens + reply.completion_tokens - reserved, check=False)
        return reply

    def _pay(self, calls: int, tokens: int, check: bool = True) -> None:
        with self._lock:
            cost = Cost(self.paid.calls + calls, self.paid.tokens + tokens)
            if check and (excess := self._budget.excess(cost)):
                raise UserError(f"judge: the budget is spent: {excess}")
            self.paid = cost


def _jobs(samples: Sequence[Sample], runs: int) -> list[Job]:
    return [(sample, run) for run in range(runs) for sample in samples]
