"""Many answers through one judge: estimated first, several at a time, within a budget, from the cache where possible."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from threading import Event

from moe_eval.chat.budget import Budget, Cost, Purse
from moe_eval.chat.cache import ReplyCache, call_key
from moe_eval.chat.endpoint import Endpoint, RefusedError
from moe_eval.chat.reply import Reply, guess_tokens
from moe_eval.errors import UserError
from moe_eval.task import Grade, Judge, JudgeCall, Sample

__all__ = ["Grades", "asked_by", "estimate", "grade_answers"]


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


NO_LIMIT = Budget()

Job = tuple[Sample, int]
"""A sample and the number of the judge's run, from 0."""


def estimate(judge: Judge, samples: Sequence[Sample], answers: Mapping[str, str], runs: int, cache: ReplyCache) -> Cost:
    """The least that is still to pay: one call for every answer whose dialogue the cache does not hold to its end."""
    calls = tokens = 0
    for sample, run in _jobs(samples, runs):
        dialogue = judge.grade(sample, answers[sample.id])
        place, call = 0, next(dialogue)
        try:
            while reply := cache.find(_key(call, run, place)):
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
    budget: Budget = NO_LIMIT,
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
    purse = Purse(budget, "judge")
    grades: dict[str, list[Grade]] = {sample.id: [0.0] * runs for sample in samples}
    refused: dict[str, str] = {}
    stopped = Event()

    def pay(call: JudgeCall) -> Reply:
        return purse.pay(guess_tokens(call.prompt) + call.max_tokens, partial(ask, call))

    def work(job: Job) -> tuple[Job, Grade | None]:
        sample, run = job
        dialogue = judge.grade(sample, answers[sample.id])
        call, place = next(dialogue), 0
        try:
            while not stopped.is_set():
                reply = cache.get(_key(call, run, place), partial(pay, call))
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


def asked_by(endpoint: Endpoint) -> Callable[[JudgeCall], Reply]:
    """How a judge's calls reach its endpoint."""
    return lambda call: endpoint.ask([{"role": "user", "content": call.prompt}], call.temperature, call.max_tokens)


def _key(call: JudgeCall, run: int, place: int) -> str:
    """Five runs are five calls, and a judge that is asked again is really asked again."""
    return call_key(call.prompt, call.temperature, call.max_tokens, run, place)


def _jobs(samples: Sequence[Sample], runs: int) -> list[Job]:
    return [(sample, run) for run in range(runs) for sample in samples]
